package io.faithfulsae.docs;

import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;

/**
 * Java in fenced blocks of Markdown and in {@code pre} elements of Javadoc, wrapped in classes and
 * compiled together.
 *
 * <p>A block is the body of a method, or members of a class if it declares a type without
 * indentation. It may start with imports; the library's main packages are imported already. A
 * comment before a block declares the variables it assumes, as parameters of that method:
 *
 * <pre>
 * &lt;!-- assumes: Path dir, Backend backend --&gt;
 * </pre>
 */
final class JavaBlocks {
  /**
   * A block.
   *
   * @param place file and line of its first line, for messages
   * @param assumes declarations, as parameters of a method
   */
  record Block(String place, String assumes, String code) {}

  private static final String IMPORTS =
      Stream.of(
              "io.faithfulsae",
              "io.faithfulsae.interop",
              "io.faithfulsae.io",
              "io.faithfulsae.metrics",
              "io.faithfulsae.models",
              "io.faithfulsae.models.generate",
              "io.faithfulsae.models.spi",
              "io.faithfulsae.models.tokens",
              "io.faithfulsae.spi",
              "io.faithfulsae.study",
              "io.faithfulsae.synthetic",
              "io.faithfulsae.training",
              "java.io",
              "java.nio",
              "java.nio.file",
              "java.util",
              "org.bytedeco.javacpp")
          .map(name -> "import " + name + ".*;")
          .collect(Collectors.joining(" "));
  private static final String ASSUMES =
      "(?:<!-- assumes: (?<assumes>(?:(?!-->).)*?)\\s*-->\\s*(?:\\*\\s*)*)?";
  private static final Pattern IN_MARKDOWN =
      Pattern.compile(ASSUMES + "^```java\\n(?<code>.*?)^```$", Pattern.MULTILINE | Pattern.DOTALL);
  private static final Pattern IN_JAVADOC =
      Pattern.compile(ASSUMES + "<pre>\\{@code\\n(?<code>.*?)\\}</pre>", Pattern.DOTALL);
  private static final Pattern MEMBERS =
      Pattern.compile(
          "(?m)^(?:(?:public|private|static|final|abstract) )*(?:class|record|interface|enum) \\w");

  private JavaBlocks() {}

  static List<Block> ofMarkdown(Markdown document) {
    return find(IN_MARKDOWN, document.name(), document.text());
  }

  static List<Block> ofJavadoc(Path source) throws IOException {
    String name = Markdown.ROOT.relativize(source.toAbsolutePath()).toString();
    return find(IN_JAVADOC, name, Files.readString(source));
  }

  private static List<Block> find(Pattern pattern, String file, String text) {
    List<Block> found = new ArrayList<>();
    Matcher block = pattern.matcher(text);
    while (block.find()) {
      long line = text.substring(0, block.start("code")).lines().count() + 1;
      String assumes = block.group("assumes") == null ? "" : block.group("assumes");
      found.add(
          new Block(
              file + ":" + line,
              withoutStars(assumes).replaceAll("\\s+", " "),
              withoutStars(block.group("code"))));
    }
    return found;
  }

  private static String withoutStars(String javadoc) {
    return javadoc.replaceAll("(?m)^ *\\* ?", "");
  }

  /** Compiles blocks against this test's class path and lists the compiler's errors. */
  static List<String> errors(List<Block> blocks) {
    Map<String, Block> named = new HashMap<>();
    List<JavaFileObject> sources = new ArrayList<>();
    for (Block block : blocks) {
      String name = "Block" + named.size();
      named.put("/" + name + ".java", block);
      sources.add(new Source(name, source(name, block)));
    }
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    DiagnosticCollector<JavaFileObject> diagnostics = new DiagnosticCollector<>();
    String classPath =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    // Stops before writing class files, for which there is no place.
    List<String> options = List.of("-proc:none", "-XDshould-stop.ifNoError=FLOW", "-cp", classPath);
    compiler.getTask(null, null, diagnostics, options, null, sources).call();
    return diagnostics.getDiagnostics().stream()
        .filter(each -> each.getKind() == Diagnostic.Kind.ERROR)
        .map(each -> message(each, named))
        .toList();
  }

  private static String message(
      Diagnostic<? extends JavaFileObject> error, Map<String, Block> named) {
    Block block = error.getSource() == null ? null : named.get(error.getSource().getName());
    String place =
        block == null
            ? "the compiler"
            : block.place() + ", line " + (error.getLineNumber() - 1) + " of the block";
    return place + ": " + error.getMessage(null);
  }

  /** Wraps a block in a class; the block starts on the second line. */
  private static String source(String name, Block block) {
    List<String> imports = block.code().lines().filter(line -> line.startsWith("import ")).toList();
    String code =
        block
            .code()
            .lines()
            .map(line -> line.startsWith("import ") ? "" : line)
            .collect(Collectors.joining("\n"));
    String head = IMPORTS + String.join(" ", imports) + " final class " + name + " { ";
    return MEMBERS.matcher(code).find()
        ? head + "\n" + code + "\n}\n"
        : head
            + "static void block("
            + block.assumes()
            + ") throws Exception {\n"
            + code
            + "\n}}\n";
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String name, String text) {
      super(URI.create("string:///" + name + ".java"), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }
  }
}
