package io.faithfulsae.architecture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A file over 400 lines states near its top why it is not split: "Over 400 lines: REASON". */
final class FileLengthTest {
  private static final Path ROOT = Path.of("").toAbsolutePath().getParent();
  private static final int LONGEST = 400;
  private static final int TOP = 90;

  @Test
  void longFilesSayWhy() throws IOException {
    List<Path> sources = new ArrayList<>();
    try (Stream<Path> modules = Files.list(ROOT)) {
      for (Path module : modules.filter(m -> Files.exists(m.resolve("pom.xml"))).toList()) {
        for (String folder : List.of("src", "peers")) {
          if (Files.isDirectory(module.resolve(folder))) {
            try (Stream<Path> files = Files.walk(module.resolve(folder))) {
              files
                  .filter(f -> f.toString().matches(".*\\.(java|h|cpp|cu|cuh|py)"))
                  .forEach(sources::add);
            }
          }
        }
      }
    }
    List<String> silent = new ArrayList<>();
    for (Path source : sources) {
      List<String> lines = Files.readAllLines(source);
      if (lines.size() > LONGEST
          && lines.stream().limit(TOP).noneMatch(line -> line.contains("Over 400 lines:"))) {
        silent.add(ROOT.relativize(source) + ": " + lines.size());
      }
    }
    assertTrue(sources.size() > 400, "only " + sources.size() + " sources were read");
    assertEquals(List.of(), silent);
  }
}
