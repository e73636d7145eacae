package io.faithfulsae.docs;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One Markdown file of the source tree. */
record Markdown(Path file, String text) {
  /** The repository. */
  static final Path ROOT = Path.of("").toAbsolutePath().getParent();

  private static final Pattern FENCE = Pattern.compile("(?ms)^```(\\w*)\\n(.*?)^```$");
  private static final Pattern CODE = Pattern.compile("`[^`\\n]*`");
  private static final Pattern COMMENT = Pattern.compile("(?s)<!--.*?-->");
  private static final Pattern LINK =
      Pattern.compile("\\]\\(([^)\\s]+)(?: \"[^\"]*\")?\\)|(?:href|src)=\"([^\"]+)\"");
  private static final Pattern DEFINITION = Pattern.compile("(?m)^\\[[^\\]]+\\]: (\\S+)");
  private static final Pattern HEADING = Pattern.compile("(?m)^#{1,6} (.+?)\\s*#*$");
  private static final Pattern NAMED_ANCHOR = Pattern.compile("<a (?:id|name)=\"([^\"]+)\"");

  /** Every Markdown file of the tree. */
  static List<Markdown> all() throws IOException {
    List<Markdown> found = new ArrayList<>();
    for (Path file : sources()) {
      if (file.toString().endsWith(".md")) {
        found.add(read(file));
      }
    }
    return found;
  }

  /** Every file of the tree, sorted by path. */
  static List<Path> sources() throws IOException {
    List<Path> found = new ArrayList<>();
    Files.walkFileTree(
        ROOT,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path folder, BasicFileAttributes attributes) {
            return isSource(folder) ? FileVisitResult.CONTINUE : FileVisitResult.SKIP_SUBTREE;
          }

          @Override
          public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
            found.add(file);
            return FileVisitResult.CONTINUE;
          }
        });
    Collections.sort(found);
    return found;
  }

  static Markdown read(Path file) throws IOException {
    return new Markdown(file, Files.readString(file));
  }

  /** Excludes build output and tools' folders. */
  private static boolean isSource(Path folder) {
    String name = folder.getFileName().toString();
    return folder.equals(ROOT)
        || name.equals(".github")
        || name.equals(".ci")
        || !(name.startsWith(".")
            || name.equals("target")
            || name.equals("shared")
            || name.equals("study-out"));
  }

  /** Its path in the tree, for messages. */
  String name() {
    return ROOT.relativize(file).toString();
  }

  /** The contents of its code blocks in a language. */
  List<String> fences(String language) {
    List<String> found = new ArrayList<>();
    Matcher fence = FENCE.matcher(text);
    while (fence.find()) {
      if (fence.group(1).equals(language)) {
        found.add(fence.group(2));
      }
    }
    return found;
  }

  /** Targets of its links and images, as written. */
  List<String> links() {
    String prose = CODE.matcher(prose()).replaceAll("``");
    List<String> found = new ArrayList<>();
    Matcher link = LINK.matcher(prose);
    while (link.find()) {
      found.add(link.group(1) != null ? link.group(1) : link.group(2));
    }
    Matcher definition = DEFINITION.matcher(prose);
    while (definition.find()) {
      found.add(definition.group(1));
    }
    return found;
  }

  /**
   * The anchors that a link may use after {@code #}: each heading in lower case, without
   * punctuation, with hyphens for spaces and a number from the second occurrence on, as on GitHub.
   */
  Set<String> anchors() {
    Set<String> anchors = new HashSet<>();
    Map<String, Integer> times = new HashMap<>();
    Matcher heading = HEADING.matcher(prose());
    while (heading.find()) {
      String title = heading.group(1).replaceAll("\\[([^\\]]*)\\]\\([^)]*\\)", "$1");
      String slug =
          title
              .strip()
              .toLowerCase(Locale.ROOT)
              .replaceAll("[^\\p{L}\\p{N}\\-_ ]", "")
              .replace(' ', '-');
      int before = times.merge(slug, 1, Integer::sum) - 1;
      anchors.add(before == 0 ? slug : slug + "-" + before);
    }
    Matcher named = NAMED_ANCHOR.matcher(prose());
    while (named.find()) {
      anchors.add(named.group(1));
    }
    return anchors;
  }

  /** Its text without code blocks and comments. */
  private String prose() {
    return COMMENT.matcher(FENCE.matcher(text).replaceAll("")).replaceAll("");
  }
}
