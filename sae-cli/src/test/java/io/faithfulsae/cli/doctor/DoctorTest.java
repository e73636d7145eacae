package io.faithfulsae.cli.doctor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.cli.doctor.Finding.Status;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendProvider.Availability;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Broken machines are told as such, with what to do. */
final class DoctorTest {
  @TempDir Path dir;

  @Test
  void aMachineThatRunsTheseTestsIsHealthy() {
    List<Finding> findings = Doctor.examine(Map.of(), dir);
    assertTrue(findings.stream().noneMatch(f -> f.status() == Status.PROBLEM), findings.toString());
    assertEquals(Status.OK, only(findings, "backend cpu").status());
    assertEquals(Status.OK, only(findings, "backend java").status());
    assertTrue(
        only(findings, "language model").found().startsWith("the bundled one read "),
        findings.toString());
    assertEquals(Status.NOTE, only(findings, "models").status());
  }

  @Test
  void whatACheckThrowsIsAProblem() {
    Finding thrown =
        Doctor.guarded(
                "tokenizer",
                () -> {
                  throw new UnsatisfiedLinkError("no tokenizers in java.library.path\nmore");
                })
            .get(0);
    assertEquals(Status.PROBLEM, thrown.status());
    assertEquals(
        "java.lang.UnsatisfiedLinkError: no tokenizers in java.library.path", thrown.found());
  }

  @Test
  void aFolderThatCannotBeWrittenIsAProblem() throws IOException {
    Path file = Files.writeString(dir.resolve("file"), "");
    Finding home = only(HostChecks.folders(file.resolve("home")), "home folder");
    assertEquals(Status.PROBLEM, home.status());
    assertTrue(home.found().startsWith("cannot write to " + file), home.found());
  }

  @Test
  void aMissingGpuIsNoProblemUnlessThereIsOne() {
    List<Availability> noDriver =
        List.of(
            new Availability("cuda", false, "no driver"), new Availability("cpu", true, "avx2"));
    assertEquals(
        Status.NOTE, only(BackendChecks.backends(noDriver, false, true), "backend cuda").status());
    assertEquals(
        Status.PROBLEM,
        only(BackendChecks.backends(noDriver, true, true), "backend cuda").status());
    assertEquals(
        Status.OK, only(BackendChecks.backends(noDriver, true, true), "backend cpu").status());
  }

  @Test
  void noBackendIsAProblem() {
    assertEquals(
        Status.PROBLEM, only(BackendChecks.backends(List.of(), false, true), "backends").status());
    List<Availability> broken = List.of(new Availability("cpu", false, "expected SSE4, got none"));
    assertEquals(
        "expected SSE4, got none",
        only(BackendChecks.backends(broken, false, true), "backend cpu").found());
  }

  /** The backend in plain Java runs there. */
  @Test
  void aPlatformWithoutNativeCodeIsNotedAndBrokenNativeCodeIsAProblem() {
    assertEquals(Status.OK, HostChecks.processor("Linux amd64", "a Xeon").status());
    Finding mac = HostChecks.processor("Mac OS X aarch64", "an M3");
    assertEquals(Status.NOTE, mac.status());
    assertTrue(mac.advice().contains("Linux on x86-64"), mac.advice());

    List<Availability> onlyJava =
        List.of(
            new Availability("cpu", false, "no native code"), new Availability("java", true, ""));
    assertEquals(
        Status.NOTE, only(BackendChecks.backends(onlyJava, false, false), "backend cpu").status());
    assertEquals(
        Status.OK, only(BackendChecks.backends(onlyJava, false, false), "backend java").status());
    assertEquals(
        Status.PROBLEM,
        only(BackendChecks.backends(onlyJava, false, true), "backend cpu").status());
    assertEquals(
        Status.PROBLEM,
        only(
                BackendChecks.backends(
                    List.of(new Availability("cpu", false, "no native code")), false, false),
                "backend cpu")
            .status());
  }

  @Test
  void aMissingBlasIsNoted() {
    Finding slow =
        BackendChecks.opened(
            "backend cpu",
            new Backend.Info("cpu", "Xeon", "{\"isa\":\"avx2\",\"blas\":\"built-in\",\"abi\":3}"));
    assertEquals(Status.NOTE, slow.status());
    assertEquals("Xeon, isa avx2, blas built-in", slow.found());
    assertEquals(
        "M3, as it likes",
        BackendChecks.opened("backend own", new Backend.Info("own", "M3", "as it likes")).found());
  }

  @Test
  void downloadedModelsAreListedWithTheFolderToName() throws IOException {
    Path good = snapshot("models--openai--gpt2", "{\"model_type\": \"gpt2\"}");
    Files.writeString(good.resolve("model.safetensors"), "");
    snapshot("models--half--done", "{\"model_type\": \"llama\"}");
    snapshot("models--google--bert", "{\"model_type\": \"bert\"}");
    snapshot("models--bad--file", "{");
    List<Finding> models = ModelChecks.downloaded(dir);
    assertEquals(
        Finding.ok("model openai/gpt2", "--model " + good), only(models, "model openai/gpt2"));
    assertTrue(only(models, "model half/done").found().startsWith("no *.safetensors in "));
    assertTrue(only(models, "model google/bert").advice().contains("gpt_neox"));
    assertTrue(only(models, "model bad/file").found().contains("config.json"));
    assertEquals(4, models.size());
  }

  @Test
  void theHubCacheIsWhereItsOwnToolsPutIt() {
    Path home = Path.of("/home/ada");
    assertEquals(
        Path.of("/h"), ModelChecks.hub(Map.of("HF_HUB_CACHE", "/h", "HF_HOME", "/x"), home));
    assertEquals(Path.of("/x/hub"), ModelChecks.hub(Map.of("HF_HOME", "/x"), home));
    assertEquals(
        Path.of("/c/huggingface/hub"), ModelChecks.hub(Map.of("XDG_CACHE_HOME", "/c"), home));
    assertEquals(Path.of("/home/ada/.cache/huggingface/hub"), ModelChecks.hub(Map.of(), home));
  }

  private Path snapshot(String repository, String config) throws IOException {
    Path folder =
        Files.createDirectories(dir.resolve(repository).resolve("snapshots").resolve("0a1b2c"));
    Files.writeString(folder.resolve("config.json"), config);
    return folder;
  }

  private static Finding only(List<Finding> findings, String what) {
    List<Finding> found = findings.stream().filter(f -> f.what().equals(what)).toList();
    assertEquals(1, found.size(), findings.toString());
    return found.get(0);
  }
}
