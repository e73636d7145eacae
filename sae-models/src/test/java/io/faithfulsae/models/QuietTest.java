package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Opens models in separate processes with an empty home folder, and checks what they leave in it.
 */
class QuietTest {
  private static final String VARIABLE = "ORT_DISABLE_TELEMETRY";
  private static final String RUNTIME = System.getProperty("sae.models.runtime", "ort");

  /**
   * If one of these is set, ONNX Runtime reports nothing anyway, and the test would show nothing.
   */
  private static final Set<String> BUILD_SERVER =
      Set.of(
          "CI",
          "TF_BUILD",
          "GITHUB_ACTIONS",
          "GITLAB_CI",
          "CIRCLECI",
          "TRAVIS",
          "JENKINS_URL",
          "CODEBUILD_BUILD_ID",
          "BUILDKITE",
          "TEAMCITY_VERSION",
          "APPVEYOR",
          "BITBUCKET_BUILD_NUMBER",
          "ORT_RUNNING_UNIT_TESTS");

  @TempDir Path home;

  @Test
  void openingAModelAsksNoServerAndMakesNoTelemetry() throws Exception {
    String said = open("library", Map.of());
    assertEquals(List.of(), telemetryFiles());
    assertTrue(said.contains("child process: null"), said);
  }

  @Test
  void aHostsOwnSettingIsPutBack() throws Exception {
    String said = open("library", Map.of(VARIABLE, "0"));
    assertEquals(List.of(), telemetryFiles());
    assertTrue(said.contains("child process: 0"), said);
  }

  /** The environment belongs to the whole process: this is the only remaining way. */
  @Test
  void ofAModelInAHostsTelemetryNothingIsTold() throws Exception {
    assumeTrue(RUNTIME.equals("ort"), "the other runtime's build has no telemetry");
    open("host-first", Map.of());
    List<Path> files = telemetryFiles();
    assertFalse(files.isEmpty(), "ONNX Runtime has telemetry");
    for (Path file : files) {
      String events = Files.readString(file, StandardCharsets.ISO_8859_1);
      assertFalse(events.contains("SessionCreation"), file.toString());
      assertFalse(events.contains("ModelLoad"), file.toString());
    }
  }

  @Test
  void nothingIsLoadedWhereItCannotBeSwitchedOff() throws Exception {
    String noNatives = "-Djna.boot.library.path=/nowhere -Djna.noclasspath=true -Djna.nosys=true";
    String said = open("library", Map.of("JDK_JAVA_OPTIONS", noNatives), 1);
    assertTrue(said.contains("start the process with " + VARIABLE + "=1"), said);
    assertEquals(List.of(), telemetryFiles());
    open("library", Map.of("JDK_JAVA_OPTIONS", noNatives, VARIABLE, "1"));
    assertEquals(List.of(), telemetryFiles());
  }

  /**
   * Like Spring Boot's launcher: one class loader for everything, which pool threads do not have.
   */
  @Test
  void aPoolThreadOfAFatJarOpensAModel() throws Exception {
    String classPath = System.getProperty("java.class.path");
    open("fat-jar", Map.of("FAT_JAR", classPath, "CLASSPATH", testClasses()));
    assertEquals(List.of(), telemetryFiles());
  }

  private static String testClasses() throws URISyntaxException {
    return Path.of(OpenedModel.class.getProtectionDomain().getCodeSource().getLocation().toURI())
        .toString();
  }

  private String open(String how, Map<String, String> environment) throws Exception {
    return open(how, environment, 0);
  }

  private String open(String how, Map<String, String> environment, int status) throws Exception {
    ProcessBuilder process =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Duser.home=" + home,
            "-Dsae.models.runtime=" + RUNTIME,
            "-XX:TieredStopAtLevel=1",
            OpenedModel.class.getName(),
            how);
    process.environment().remove("XDG_CACHE_HOME");
    process.environment().remove(VARIABLE);
    process.environment().keySet().removeAll(BUILD_SERVER);
    process.environment().put("HOME", home.toString());
    process.environment().put("CLASSPATH", System.getProperty("java.class.path"));
    process.environment().putAll(environment);
    Process child = process.redirectErrorStream(true).start();
    String said = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(status, child.waitFor(), said);
    assertFalse(said.contains("asked for"), said);
    return said;
  }

  private List<Path> telemetryFiles() throws IOException {
    try (Stream<Path> all = Files.walk(home)) {
      List<Path> found = new ArrayList<>(all.filter(Files::isRegularFile).toList());
      found.removeIf(file -> file.startsWith(home.resolve(".javacpp")));
      found.removeIf(file -> file.startsWith(home.resolve(".djl.ai")));
      found.removeIf(file -> file.startsWith(home.resolve(".cache/JNA")));
      return found;
    }
  }
}
