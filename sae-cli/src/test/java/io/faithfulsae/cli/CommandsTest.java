package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.study.compare.ResultFile;
import java.io.IOException;
import java.nio.IntBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Each command end to end, at small sizes.
 *
 * <p>Over 400 lines: the commands build on each other's files.
 */
final class CommandsTest {
  @TempDir Path dir;

  @Test
  void generateWritesTheSameTextAgainAndAnotherWithAnotherSeed() throws IOException {
    Path first = generate("first.jsonl", 1);
    Path same = generate("same.jsonl", 1);
    Path other = generate("other.jsonl", 2);
    assertEquals(Files.readString(first), Files.readString(same));
    assertFalse(Files.readString(first).equals(Files.readString(other)));
    JsonNode record = new JsonMapper().readTree(Files.readAllLines(first).get(0));
    assertEquals(record.path("tokens").asInt(), record.path("token_ids").size());
    assertTrue(record.path("tokens").asInt() <= 24);
    assertFalse(record.path("text").asText().isBlank());
  }

  @Test
  void activationsOfAPrefixDoNotDependOnWhatFollows() throws IOException {
    Path shorter = activations("shorter", "[[0, 5, 9], [0, 7, 3]]");
    Path longer = activations("longer", "[[0, 5, 9, 11], [0, 7, 3, 2]]");
    try (Safetensors tensors = Safetensors.open(longer)) {
      assertEquals(List.of(2L, 4L, 128L), tensors.entry("activations").shape());
      assertEquals(List.of(2L, 4L, 2048L), tensors.entry("logits").shape());
    }
    float[] a = Tiny.floats(shorter, "activations");
    float[] b = Tiny.floats(longer, "activations");
    for (int sequence = 0; sequence < 2; sequence++) {
      for (int i = 0; i < 3 * 128; i++) {
        assertEquals(a[sequence * 3 * 128 + i], b[sequence * 4 * 128 + i], 1e-4f);
      }
    }
  }

  @Test
  void encodeWritesWhatTheSaeSees() throws IOException {
    Path trained = Tiny.sae(dir, 42);
    Path rows = Tiny.activations(dir.resolve("x.safetensors"), 10, 16);
    Path out = dir.resolve("encoded.safetensors");
    sae("encode", "--sae", trained, "--activations", rows, "--out", out, "--dense", "--batch", 3)
        .ok();

    float[] values = Tiny.floats(out, "values");
    float[] latents = Tiny.floats(out, "latents");
    int[] indices = ints(out, "indices", 40);
    float[] dense = new float[10 * 32];
    for (int i = 0; i < 40; i++) {
      assertTrue(
          i % 4 == 0 || values[i - 1] >= values[i], "values are in descending order within a row");
      dense[i / 4 * 32 + indices[i]] = values[i];
    }
    assertArrayEquals(dense, latents);

    float[] decoder = Tiny.floats(trained.resolve("sae_weights.safetensors"), "W_dec");
    float[] bias = Tiny.floats(trained.resolve("sae_weights.safetensors"), "b_dec");
    float[] reconstruction = Tiny.floats(out, "reconstruction");
    for (int row = 0; row < 10; row++) {
      for (int d = 0; d < 16; d++) {
        double expected = bias[d];
        for (int j = 0; j < 32; j++) {
          expected += latents[row * 32 + j] * decoder[j * 16 + d];
        }
        assertEquals(expected, reconstruction[row * 16 + d], 1e-4);
      }
    }
  }

  @Test
  void aBatchInPartsTrainsAsTheWholeBatch() throws IOException {
    Path rows = Tiny.shards(dir.resolve("rows"));
    Path whole = train(rows, "whole", 1);
    Path parts = train(rows, "parts", 3);
    assertEquals(
        3, json(parts.resolve("training.json")).path("training").path("accumulate").asInt());
    float[] expected = Tiny.floats(whole.resolve("sae_weights.safetensors"), "W_enc");
    float[] got = Tiny.floats(parts.resolve("sae_weights.safetensors"), "W_enc");
    assertArrayEquals(expected, got, 1e-4f);
    assertFalse(Arrays.equals(expected, got), "sums were accumulated in the same order");
  }

  /** Four steps with a loss that is a mean over rows, too few for a latent to count as dead. */
  private Path train(Path rows, String out, int accumulate) {
    Path into = dir.resolve(out);
    sae(
            "train",
            "--preset",
            "study",
            "--activations",
            rows,
            "--d-sae",
            32,
            "--k",
            4,
            "--tokens",
            1_200,
            "--batch",
            300,
            "--accumulate",
            accumulate,
            "--out",
            into)
        .ok();
    return into;
  }

  @Test
  void matchFindsAnSaeInItself() throws IOException {
    Path a = Tiny.sae(dir, 42);
    Path b = Tiny.sae(dir, 49);
    Path out = dir.resolve("match.json");
    sae("match", "--a", a, "--b", a, "--threshold", 0.99, "--out", out).ok();
    assertEquals(1.0, json(out).path("decoder").path("matched").asDouble());
    JsonNode printed =
        sae("match", "--json", "--a", a, "--b", b, "--threshold", 0.99, "--out", out, "--overwrite")
            .ok()
            .json();
    assertTrue(printed.path("decoder").path("matched").asDouble() < 1);
    assertEquals(json(out), printed);
  }

  @Test
  void trainsASkipTranscoderBetweenTwoHooks() throws IOException {
    Path trained = dir.resolve("transcoder");
    sae(
            "train",
            "--hook",
            "blocks.0.hook_resid_mid",
            "--target-hook",
            "blocks.0.hook_mlp_out",
            "--skip",
            "--data",
            generate("train.jsonl", 1),
            "--context",
            16,
            "--d-sae",
            32,
            "--k",
            4,
            "--tokens",
            1_200,
            "--batch",
            300,
            "--out",
            trained)
        .ok();
    JsonNode config = json(trained.resolve("cfg.json"));
    assertEquals("topk_skip_transcoder", config.path("architecture").asText());
    assertTrue(config.toString().contains("blocks.0.hook_mlp_out"), config.toString());
    Tiny.Ran info = sae("info", trained).ok();
    assertTrue(info.out().contains("blocks.0.hook_resid_mid to blocks.0.hook_mlp_out"), info.out());
    Path evaluated = dir.resolve("transcoder.json");
    sae(
            "evaluate",
            "--sae",
            trained,
            "--data",
            generate("test.jsonl", 2),
            "--rows",
            200,
            "--ce-tokens",
            100,
            "--out",
            evaluated)
        .ok();
    JsonNode cost = json(evaluated).path("crossEntropy");
    assertEquals("blocks.0.hook_mlp_out", cost.path("hook").asText());
    assertTrue(cost.path("replaced").asDouble() > 0, cost.toString());
    assertEquals(
        2, sae("train", "--skip", "--d-sae", 8, "--k", 2, "--tokens", 9, "--out", dir).code());
  }

  @Test
  void trainEvaluateAndFakeFeaturesWorkOnAModel() throws IOException {
    Path text = generate("train.jsonl", 1);
    Path trained = dir.resolve("on-model");
    sae(
            "train",
            "--hook",
            "blocks.1.hook_resid_pre",
            "--data",
            text,
            "--context",
            16,
            "--d-sae",
            64,
            "--k",
            8,
            "--lr",
            5e-3,
            "--tokens",
            12_000,
            "--batch",
            300,
            "--out",
            trained)
        .ok();
    assertEquals("topk", json(trained.resolve("cfg.json")).path("architecture").asText());

    Path evaluation = dir.resolve("evaluation.json");
    sae(
            "evaluate",
            "--sae",
            trained,
            "--data",
            generate("test.jsonl", 2),
            "--ce-tokens",
            200,
            "--out",
            evaluation)
        .ok();
    JsonNode measured = json(evaluation);
    assertEquals(64, measured.path("reconstruction").path("dSae").asInt());
    assertTrue(
        measured.path("reconstruction").path("explainedVariance").asDouble() > 0.1,
        measured.toString());
    assertTrue(
        measured.path("crossEntropy").path("clean").asDouble()
            < measured.path("crossEntropy").path("zeroAblated").asDouble());

    double overMean = measured.path("crossEntropy").path("lossRecoveredOverMean").asDouble();
    assertTrue(overMean < 1 && measured.path("crossEntropy").path("meanAblated").asDouble() > 0);
    for (JsonNode interval :
        List.of(
            measured.path("crossEntropy").path("differenceInterval"),
            measured.path("reconstruction").path("explainedVarianceInterval"))) {
      assertTrue(interval.path("low").asDouble() <= interval.path("estimate").asDouble());
      assertTrue(interval.path("high").asDouble() >= interval.path("estimate").asDouble());
    }
    assertTrue(measured.path("kCurve").isMissingNode());

    Path curves = dir.resolve("curves.json");
    sae(
            "evaluate",
            "--sae",
            trained,
            "--data",
            dir.resolve("test.jsonl"),
            "--ce-tokens",
            200,
            "--k",
            "1,8,32",
            "--fake-tokens",
            300,
            "--subsets",
            "0,64",
            "--rank-by",
            "FREQUENCY",
            "--out",
            curves)
        .ok();
    JsonNode points = json(curves).path("kCurve").path("points");
    assertEquals(3, points.size());
    assertEquals(8, json(curves).path("kCurve").path("ownK").asInt());
    assertEquals(
        measured.path("reconstruction"), points.get(1).path("reconstruction"), "at its own k");
    assertEquals(measured.path("crossEntropy"), points.get(1).path("crossEntropy"));
    assertTrue(
        points.get(0).path("reconstruction").path("l2").asDouble()
            > points.get(1).path("reconstruction").path("l2").asDouble());
    assertTrue(points.get(2).path("fakeFeatures").path("ratio").isNumber());
    JsonNode subsets = json(curves).path("subsets");
    assertEquals(0, subsets.path("best").get(0).path("reconstruction").path("l0").asDouble());
    assertEquals(measured.path("reconstruction"), subsets.path("whole").path("reconstruction"));

    Path fake = dir.resolve("fake.json");
    sae("fake-features", "--sae", trained, "--tokens", 500, "--out", fake).ok();
    JsonNode counted = json(fake);
    assertEquals(counted.path("count").asInt() / 64.0, counted.path("ratio").asDouble());

    fakeFeatureOptions(trained, dir.resolve("test.jsonl"));

    Path pair = dir.resolve("pair.json");
    sae("fake-features", "--sae", trained, "--second", trained, "--tokens", 500, "--out", pair)
        .ok();
    JsonNode entry = json(pair).get(0);
    assertEquals(counted.path("count"), entry.path("result").path("fake_feature_count2"));
    assertEquals(counted.path("ratio"), entry.path("result").path("avg_fake_feature_ratio"));
    assertEquals("tiny-stories-gpt2", entry.path("run").path("model").asText());
    assertEquals("[42,42]", entry.path("run").path("seeds").toString());
    assertEquals(16, entry.path("run").path("seq_len").asInt());
    assertEquals(40, entry.path("run").path("steps").asInt());
    assertEquals("tiny-stories-gpt2", ResultFile.read(pair).get(0).model());
  }

  /** The preset, both definitions, the relative threshold, and noise against text. */
  private void fakeFeatureOptions(Path trained, Path text) throws IOException {
    Path out = dir.resolve("fake-options.json");
    Tiny.Ran ran = sae("fake-features", "--sae", trained, "--preset", "authors", "--out", out).ok();
    assertTrue(ran.out().startsWith("Noise against text: not compared"), ran.out());
    JsonNode authors = json(out);
    assertEquals(1_000_000, authors.path("options").path("noiseTokens").asLong());
    assertEquals(
        1_000_000, authors.path("noise").path("rows").asLong(), "everything except position 0");
    assertEquals(1.0, authors.path("options").path("activationThreshold").asDouble());
    assertEquals(0.1, authors.path("options").path("rateThreshold").asDouble());
    JsonNode filter = authors.path("options").path("filter");
    assertEquals(1, filter.path("skipPositions").asInt());
    assertTrue(filter.path("excludedTokens").isEmpty(), "a sampled BOS counts");
    assertEquals("Infinity", filter.path("maxNorm").asText());

    ran =
        sae(
                "fake-features",
                "--overwrite",
                "--sae",
                trained,
                "--definition",
                "sequences",
                "--sequences",
                30,
                "--data",
                text,
                "--min-ratio",
                1.5,
                "--out",
                out)
            .ok();
    assertTrue(ran.out().startsWith("More active on noise than on text: "), ran.out());
    JsonNode sequences = json(out);
    assertEquals("SEQUENCES", sequences.path("options").path("definition").asText());
    assertEquals(30, sequences.path("options").path("noiseSequences").asInt());
    assertEquals(0.05, sequences.path("options").path("rateThreshold").asDouble());
    JsonNode against = sequences.path("noiseAgainstText");
    assertEquals(64, against.path("latents").size());
    assertEquals(1.5, against.path("minimumRatio").asDouble());
    assertEquals(
        against.path("moreOnNoise").asInt() / 64.0, against.path("shareMoreOnNoise").asDouble());

    sae(
            "fake-features",
            "--overwrite",
            "--sae",
            trained,
            "--relative",
            0.8,
            "--tokens",
            500,
            "--data",
            text,
            "--out",
            out)
        .ok();
    assertTrue(json(out).path("options").path("relativeThreshold").asBoolean());
    assertEquals(0.8, json(out).path("options").path("activationThreshold").asDouble());

    for (Object[] wrong :
        new Object[][] {
          {"--preset", "authors", "--tokens", 5},
          {"--preset", "authors", "--no-filter"},
          {"--relative", 1},
          {"--definition", "sequences"},
          {"--relative", 1, "--activation", 1, "--data", text}
        }) {
      List<Object> words =
          new ArrayList<>(List.of("fake-features", "--sae", trained, "--overwrite", "--out", out));
      words.addAll(Arrays.asList(wrong));
      Tiny.Ran rejected = sae(words.toArray());
      assertEquals(2, rejected.code(), rejected.err());
      assertTrue(rejected.err().contains("expected "), rejected.err());
    }
  }

  @Test
  void checkDatasetKnowsWhatTheModelWrote() throws IOException {
    Path own = generate("own.jsonl", 3);
    Path out = dir.resolve("check.json");
    sae("check-dataset", "--data", own, "--against", own, "--out", out).ok();
    JsonNode checked = json(out);
    assertEquals("[1.0,1.0,1.0]", checked.path("coverage").toString());
    assertTrue(checked.path("statistics").path("tokens").asLong() >= 1_500);
    assertEquals(24, checked.path("statistics").path("maxLength").asInt());
    assertTrue(Files.size(dir.resolve("check.png")) > 1_000);

    Path foreign = Files.writeString(dir.resolve("foreign.txt"), "Qqq zzz.<|endoftext|>Xx xx.");
    sae("check-dataset", "--data", foreign, "--out", out, "--overwrite").ok();
    double ofForeign = json(out).path("firstTokens").path("jensenShannon").asDouble();
    double ofOwn = checked.path("firstTokens").path("jensenShannon").asDouble();
    assertTrue(ofOwn < ofForeign, ofOwn + " for its own text, " + ofForeign + " for foreign text");
  }

  @Test
  void checkDatasetCountsRecordsWhoseFirstTokenIsEos() throws IOException {
    Path file =
        Files.writeString(
            dir.resolve("ended.jsonl"),
            """
            {"text": "", "token_ids": [0, 0]}
            {"text": "", "token_ids": [0, 0]}
            {"text": "x", "token_ids": [0, 9, 0]}
            {"text": ""}
            """);
    JsonNode checked =
        sae("check-dataset", "--data", file, "--json", "--out", dir.resolve("ended.json"))
            .ok()
            .json();
    assertEquals(8, checked.path("statistics").path("tokens").asLong());
    assertEquals(3, checked.path("firstTokens").path("sequences").asLong());
    assertEquals(1, checked.path("firstTokens").path("withoutFirstToken").asLong());
    JsonNode likeliest = checked.path("firstTokens").path("topOfData").get(0);
    assertEquals(0, likeliest.path("token").asInt());
    assertEquals(2 / 3.0, likeliest.path("data").asDouble(), 1e-12);
    assertEquals(1, checked.path("statistics").path("minLength").asInt());
  }

  private Path generate(String name, long seed) {
    Path out = dir.resolve(name);
    sae(
            "generate",
            "--budget",
            1_500,
            "--max-length",
            24,
            "--batch",
            16,
            "--temperature",
            1,
            "--top-p",
            1,
            "--seed",
            seed,
            "--out",
            out)
        .ok();
    return out;
  }

  private Path activations(String name, String tokens) throws IOException {
    Path file = Files.writeString(dir.resolve(name + ".json"), tokens);
    Path out = dir.resolve(name + ".safetensors");
    sae(
            "activations",
            "--hook",
            "blocks.2.hook_resid_pre",
            "--tokens",
            file,
            "--out",
            out,
            "--logits",
            "--batch-sequences",
            1)
        .ok();
    return out;
  }

  private static JsonNode json(Path file) throws IOException {
    return new JsonMapper().readTree(file.toFile());
  }

  private static int[] ints(Path file, String tensor, int count) throws IOException {
    try (Safetensors tensors = Safetensors.open(file)) {
      int[] values = new int[count];
      tensors.readInts(tensor, 0, IntBuffer.wrap(values));
      return values;
    }
  }
}
