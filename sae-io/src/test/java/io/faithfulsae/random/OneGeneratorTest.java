package io.faithfulsae.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** All modules draw from {@link Rng}: any other generator would have to be seeded somewhere. */
class OneGeneratorTest {
  private static final Pattern OTHERS =
      Pattern.compile(
          "java\\.util\\.Random\\b|new"
              + " Random\\(|SplittableRandom|ThreadLocalRandom|SecureRandom|Math\\.random"
              + "|Well\\w+c?\\(|MersenneTwister|ISAACRandom|JDKRandomGenerator|RandomSource"
              + "|Collections\\.shuffle");

  @Test
  void noSourceUsesAnotherGenerator() throws IOException {
    List<Path> sources = new ArrayList<>();
    List<String> found = new ArrayList<>();
    Path project = Path.of("").toAbsolutePath().getParent();
    try (Stream<Path> modules = Files.list(project)) {
      for (Path module : modules.toList()) {
        Path main = module.resolve("src/main/java");
        if (Files.isDirectory(main)) {
          try (Stream<Path> files = Files.walk(main)) {
            files.filter(file -> file.toString().endsWith(".java")).forEach(sources::add);
          }
        }
      }
    }
    for (Path source : sources) {
      OTHERS
          .matcher(Files.readString(source).replaceAll("(?m)^ +(\\*|//|/\\*).*$", ""))
          .results()
          .forEach(match -> found.add(source.getFileName() + ": " + match.group()));
    }
    assertEquals(List.of(), found);
    assertFalse(sources.size() < 100, "only " + sources.size() + " sources were read");
  }
}
