package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The files of this module have no circular dependencies. */
class FileCirclesTest {
  private static final Pattern PROSE =
      Pattern.compile("/\\*.*?\\*/|//[^\\n]*|\"(?:\\\\.|[^\"\\\\])*\"", Pattern.DOTALL);
  private static final Pattern NAME = Pattern.compile("\\b[A-Z]\\w*\\b");

  /** For each class, the other classes of the module that its file mentions. */
  private static Map<String, Set<String>> dependencies() throws IOException {
    Map<String, Set<String>> named = new TreeMap<>();
    try (Stream<Path> files = Files.walk(Path.of("src/main/java"))) {
      for (Path file : files.filter(f -> f.toString().endsWith(".java")).toList()) {
        String name = String.valueOf(file.getFileName()).replace(".java", "");
        String code = PROSE.matcher(Files.readString(file)).replaceAll(" ");
        Set<String> names = new TreeSet<>();
        NAME.matcher(code).results().forEach(match -> names.add(match.group()));
        names.remove(name);
        named.put(name, names);
      }
    }
    named.values().forEach(names -> names.retainAll(named.keySet()));
    return named;
  }

  private static boolean reaches(Map<String, Set<String>> dependencies, String from, String to) {
    Set<String> seen = new HashSet<>();
    Deque<String> open = new ArrayDeque<>(dependencies.getOrDefault(from, Set.of()));
    while (!open.isEmpty()) {
      String next = open.pop();
      if (next.equals(to)) {
        return true;
      }
      if (seen.add(next)) {
        open.addAll(dependencies.getOrDefault(next, Set.of()));
      }
    }
    return false;
  }

  @Test
  void filesHaveNoCycles() throws IOException {
    Map<String, Set<String>> dependencies = dependencies();
    assertTrue(reaches(dependencies, "Metrics", "BootstrapInterval"), dependencies.toString());
    List<String> inCircles =
        dependencies.keySet().stream().filter(name -> reaches(dependencies, name, name)).toList();
    assertEquals(List.of(), inCircles);
  }
}
