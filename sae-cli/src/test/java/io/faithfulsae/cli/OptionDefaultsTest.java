package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.SaeInfo;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Command line, environment, file: the first that has an option sets it. */
final class OptionDefaultsTest {
  @TempDir Path dir;
  private Path out;
  private String[] train = {};

  @BeforeEach
  void prepare() throws IOException {
    out = dir.resolve("sae");
    train =
        words("train", "--activations", Tiny.shards(dir.resolve("in")), "--tokens", 2_000, "--out");
  }

  @Test
  void aFileSetsWhatTheCommandLineDoesNot() throws IOException {
    Path file = file("batch: 500\nk: 3\ntrain:\n  d-sae: 24\nevaluate: {k: [1, 2]}\n");
    run(Map.of(), out, "--config", file).ok();
    assertEquals(24, SaeInfo.read(out).config().dSae());
    assertEquals(3, SaeInfo.read(out).config().k());
  }

  @Test
  void theCommandLineComesFirstThenTheEnvironmentThenTheFile() throws IOException {
    Path file = file("batch: 500\ntrain: {d-sae: 24, k: 3, seed: 5}\n");
    Map<String, String> environment =
        Map.of("SAE_TRAIN_D_SAE", "32", "SAE_K", "4", "SAE_TRAIN_SEED", "");
    run(environment, out, "--config=" + file, "--k", 5).ok();
    assertEquals(32, SaeInfo.read(out).config().dSae());
    assertEquals(5, SaeInfo.read(out).config().k());

    Path other = dir.resolve("other");
    run(environment, other, "--config=" + file).ok();
    assertEquals(4, SaeInfo.read(other).config().k());
  }

  @Test
  void aCommandsOwnVariableBeatsThatOfAll() throws IOException {
    run(Map.of("SAE_K", "4", "SAE_TRAIN_K", "2", "SAE_D_SAE", "16", "SAE_BATCH", "500"), out).ok();
    assertEquals(2, SaeInfo.read(out).config().k());
  }

  @Test
  void aFlagAndAListCanBeSet() throws IOException {
    run(Map.of("SAE_D_SAE", "16", "SAE_K", "4", "SAE_BATCH", "500"), out).ok();
    Tiny.Ran ran = sae(Map.of(), "info", out, "--config", file("json: true\n")).ok();
    assertEquals(16, ran.json().path("dSae").asInt());
    Tiny.Ran overwritten =
        sae(
                Map.of("SAE_OVERWRITE", "true"),
                (Object[]) words("match", "--a", out, "--b", out, "--out", dir.resolve("m.json")))
            .ok();
    assertTrue(overwritten.out().contains("m.json"), overwritten.out());
  }

  @Test
  void aWrongValueSaysWhereItComesFrom() throws IOException {
    assertFailed(
        run(Map.of("SAE_TRAIN_K", "many"), out, "--d-sae", 8),
        "'many' is not an int (from SAE_TRAIN_K in the environment)");
    Path file = file("train: {k: many}\n");
    assertFailed(
        run(Map.of(), out, "--d-sae", 8, "--config", file),
        "'many' is not an int (from " + file + ")");
  }

  @Test
  void aWrongFileSaysWhereAndWhatIsExpected() throws IOException {
    assertFile("k: 3\nd_sae: 4\n", "line 2: expected a command, or an option", "got d_sae");
    assertFile("train:\n  dsae: 4\n", "line 2: expected an option of train, one of [", "got dsae");
    assertFile("train: 5\n", "line 1: expected options, as NAME: VALUE, got 5");
    assertFile("- k\n", "line 1: expected options");
    assertFile("k:\n", "line 1: expected a value for k", "got nothing");
    assertFile("k: {a: 1}\n", "line 1: expected a value for k", "got a structure");
    assertFile("k: 1\nk: 2\n", "line 2: expected k once, got it again");
    assertFile("help: true\n", "got help");
    assertFile("k: [1\n", "expected YAML");
    assertFailed(
        run(Map.of(), out, "--config", dir.resolve("none.yaml")),
        "none.yaml: no such file or folder");
  }

  @Test
  void anEmptyFileSetsNothing() throws IOException {
    run(Map.of(), out, "--d-sae", 8, "--k", 2, "--batch", 500, "--config", file("# later\n")).ok();
  }

  @Test
  void quietPrintsResultsOnly() throws IOException {
    Object[] size = {"--d-sae", 8, "--k", 2, "--batch", 500};
    Tiny.Ran loud = run(Map.of(), out, size).ok();
    Tiny.Ran quiet = run(Map.of("SAE_QUIET", "true"), dir.resolve("quiet"), size).ok();
    assertEquals("", quiet.err());
    assertEquals(loud.out().lines().count(), quiet.out().lines().count());
  }

  private void assertFile(String content, String... parts) throws IOException {
    Tiny.Ran ran = run(Map.of(), out, "--config", file(content));
    assertFailed(ran, parts);
    assertTrue(ran.err().contains("options.yaml: line "), ran.err());
  }

  private static void assertFailed(Tiny.Ran ran, String... parts) {
    assertEquals(2, ran.code(), ran.err());
    for (String part : parts) {
      assertTrue(ran.err().contains(part), part + " in " + ran.err());
    }
  }

  private Path file(String content) throws IOException {
    return Files.writeString(dir.resolve("options.yaml"), content);
  }

  private Tiny.Ran run(Map<String, String> environment, Path to, Object... more) {
    String[] all = Arrays.copyOf(train, train.length + 1 + more.length);
    all[train.length] = to.toString();
    System.arraycopy(words(more), 0, all, train.length + 1, more.length);
    return sae(environment, (Object[]) all);
  }

  private static Tiny.Ran sae(Map<String, String> environment, Object... args) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    int code =
        SaeCommand.run(
            new PrintWriter(out, true), new PrintWriter(err, true), environment, words(args));
    return new Tiny.Ran(code, out.toString(), err.toString());
  }

  private static String[] words(Object... args) {
    return Arrays.stream(args).map(String::valueOf).toArray(String[]::new);
  }
}
