package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SAEs at hook points of other widths than the residual stream's, from training to steering. */
@Tag("slow")
class SitesCommandTest {
  private static final String NEURONS = "blocks.1.mlp.hook_post";
  private static final String HEADS = "blocks.1.attn.hook_z";

  @TempDir Path dir;

  @Test
  void trainedEvaluatedAndSteered() throws IOException {
    Path text = dir.resolve("text.jsonl");
    Tiny.sae("generate", "--budget", 2_000, "--max-length", 24, "--out", text).ok();
    Path tokens = Files.writeString(dir.resolve("t.json"), "[[0, 5, 9], [0, 7, 3]]");
    JsonNode shape = activations(NEURONS, tokens, "neurons").path("shape");
    int width = shape.path(2).asInt();
    assertEquals(
        4 * activations("hook_embed", tokens, "embed").path("shape").path(2).asInt(), width);

    Path neurons = train(text, NEURONS, "neurons");
    JsonNode info = Tiny.sae("info", neurons, "--json").ok().json();
    assertEquals(width, info.path("dIn").asInt(), info.toString());
    JsonNode evaluated = evaluate(neurons, text);
    double fvu = evaluated.path("reconstruction").path("fvu").asDouble(-1);
    assertTrue(fvu > 0 && fvu < 1, evaluated.toString());
    assertTrue(
        evaluated.path("crossEntropy").path("replaced").asDouble() > 0, evaluated.toString());
    steer(neurons);

    steer(train(text, HEADS, "heads"));
    evaluate(train(text, NEURONS, "transcoder", "--target-hook", "blocks.1.hook_mlp_out"), text);
  }

  private JsonNode activations(String hook, Path tokens, String name) throws IOException {
    Path out = dir.resolve(name + ".safetensors");
    return Tiny.sae("activations", "--hook", hook, "--tokens", tokens, "--out", out, "--json")
        .ok()
        .json();
  }

  private Path train(Path text, String hook, String name, Object... more) {
    Path out = dir.resolve(name);
    Tiny.sae(
            Stream.concat(
                    Stream.of(
                        "train",
                        "--hook",
                        hook,
                        "--data",
                        text,
                        "--context",
                        16,
                        "--d-sae",
                        32,
                        "--k",
                        4,
                        "--tokens",
                        20_000,
                        "--batch",
                        200,
                        "--lr",
                        3e-3,
                        "--out",
                        out),
                    Arrays.stream(more))
                .toArray())
        .ok();
    return out;
  }

  private JsonNode evaluate(Path sae, Path text) throws IOException {
    Path out = dir.resolve(sae.getFileName() + ".json");
    return Tiny.sae(
            "evaluate",
            "--sae",
            sae,
            "--data",
            text,
            "--ce-tokens",
            100,
            "--rows",
            200,
            "--out",
            out,
            "--json")
        .ok()
        .json();
  }

  private static void steer(Path sae) throws IOException {
    JsonNode steered =
        Tiny.sae("steer", "--sae", sae, "--latent", 1, "--clamp", 1e4, "--max-length", 12, "--json")
            .ok()
            .json();
    JsonNode pair = steered.path("texts").path(0);
    assertTrue(!pair.path("steered").equals(pair.path("unsteered")), steered.toString());
  }
}
