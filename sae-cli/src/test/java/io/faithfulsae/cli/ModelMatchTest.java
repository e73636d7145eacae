package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.study.EmbeddedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An SAE is applied to the model that it was trained on, or to another on request. */
final class ModelMatchTest {
  private static final String HOOK = "blocks.1.hook_resid_pre";

  @TempDir static Path dir;
  private static Path text;
  private static Path trained;

  @BeforeAll
  static void train() throws IOException {
    text = Files.writeString(dir.resolve("text.txt"), "the dog ran and it was fun. ".repeat(200));
    trained = dir.resolve("sae");
    sae(
            "train",
            "--model",
            EmbeddedModel.unpack(dir.resolve("my-model")),
            "--data",
            text,
            "--hook",
            HOOK,
            "--d-sae",
            32,
            "--k",
            4,
            "--tokens",
            1_000,
            "--batch",
            100,
            "--context",
            16,
            "--out",
            trained)
        .ok();
  }

  /** A copy of the SAE with modified metadata about its model. */
  private static Path saying(String name, String find, String replace) throws IOException {
    Path copy = Files.createDirectories(dir.resolve(name));
    try (Stream<Path> files = Files.list(trained)) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(file.getFileName()));
      }
    }
    Path config = copy.resolve("cfg.json");
    String before = Files.readString(config);
    String after = before.replaceAll(find, replace);
    assertTrue(!after.equals(before), before);
    // Like a user who edits the file and has to delete its checksums.
    Files.writeString(
        config, after.replaceAll(",\\s+\"(weights_crc32c|checksum)\" : \"\\w+\"", ""));
    return copy;
  }

  private static Tiny.Ran fake(Path of, Object... more) {
    return run("fake-features", of, ".json", "--tokens", 100, more);
  }

  private static Tiny.Ran run(String command, Path of, String ending, Object... options) {
    List<Object> args = new ArrayList<>(List.of(command, "--sae", of, "--overwrite"));
    for (Object option : options) {
      args.addAll(option instanceof Object[] several ? Arrays.asList(several) : List.of(option));
    }
    args.addAll(List.of("--out", dir.resolve("out" + ending)));
    return sae(args.toArray());
  }

  private static void assertRejected(Tiny.Ran ran, String model) {
    assertEquals(1, ran.code(), ran.out() + ran.err());
    String expected = "expected the model " + model + " that ";
    assertTrue(ran.err().contains(expected), ran.err());
    assertTrue(ran.err().contains("got tiny-stories-gpt2"), ran.err());
    assertTrue(ran.err().contains("--any-model"), ran.err());
  }

  @Test
  void theSameFilesUnderAnotherNameAreTheSameModel() throws IOException {
    String config = Files.readString(trained.resolve("cfg.json"));
    assertTrue(config.contains("\"model_name\" : \"my-model\""), config);
    fake(trained).ok();
  }

  @Test
  void anotherModelsSaeIsRejectedByEveryCommand() throws IOException {
    Path other = saying("other", "\"model_sha256\" : \"[0-9a-f]+\"", "\"model_sha256\" : \"00ff\"");
    Path tasks = Files.createDirectories(dir.resolve("tasks/sst2"));
    for (String part : new String[] {"train.tsv", "test.tsv"}) {
      Files.writeString(
          tasks.resolve(part), "sentence\tlabel\n" + "a cat\t1\na dog\t0\n".repeat(10));
    }
    assertRejected(fake(other), "my-model");
    assertRejected(run("evaluate", other, ".json", "--data", text), "my-model");
    assertRejected(run("dashboard", other, ".html", "--data", text), "my-model");
    assertRejected(run("probe", other, ".json", "--data", tasks.getParent()), "my-model");
    assertRejected(fake(trained, "--second", other), "my-model");
    assertRejected(
        run("dashboard", trained, ".html", "--data", text, "--random", 1, "--second", other),
        "my-model");
    fake(other, "--any-model").ok();
  }

  @Test
  void withoutAHashTheNameDecides() throws IOException {
    Path named = saying("named", "model_sha256", "unknown");
    assertRejected(fake(named), "my-model");
    fake(named, "--model", dir.resolve("my-model")).ok();
  }

  @Test
  void anSaeThatDoesNotSayItsModelNeedsOne() throws IOException {
    Path silent = saying("silent", "model_(name|sha256)", "unknown_$1");
    Tiny.Ran rejected = fake(silent);
    assertEquals(1, rejected.code(), rejected.out());
    assertTrue(rejected.err().contains("to say which model it was trained on"), rejected.err());
    assertTrue(rejected.err().contains("--model"), rejected.err());
    fake(silent, "--model", dir.resolve("my-model")).ok();
    fake(silent, "--any-model").ok();
  }

  @Test
  void activationsOfAnotherModelAreNotEncoded() throws IOException {
    Path rows = dir.resolve("rows.safetensors");
    Path tokens = Files.writeString(dir.resolve("t.json"), "[[0, 5, 9]]");
    sae("activations", "--hook", HOOK, "--tokens", tokens, "--out", rows).ok();
    assertRejected(run("encode", trained, ".safetensors", "--activations", rows), "my-model");
    run("encode", trained, ".safetensors", "--activations", rows, "--any-model").ok();
  }
}
