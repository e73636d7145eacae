package io.faithfulsae.models;

import ai.onnxruntime.OrtEnvironment;
import java.io.File;
import java.io.IOException;
import java.net.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.net.URLConnection;
import java.net.URLStreamHandler;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ForkJoinPool;

/** A process that opens and uses a model and its tokenizer, then starts another process. */
public final class OpenedModel {
  private OpenedModel() {}

  public static void main(String[] arguments) throws Exception {
    URL.setURLStreamHandlerFactory(protocol -> protocol.startsWith("http") ? new Refusing() : null);
    switch (arguments[0]) {
      case "library" -> use();
      case "host-first" -> {
        OrtEnvironment.getEnvironment();
        use();
      }
      default -> fatJar(System.getenv("FAT_JAR"));
    }
    ProcessBuilder inherits = new ProcessBuilder("sh", "-c", "echo $ORT_DISABLE_TELEMETRY");
    String value =
        new String(inherits.start().getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    System.out.println("child process: " + (value.isBlank() ? null : value.strip()));
  }

  private static final class Refusing extends URLStreamHandler {
    @Override
    protected URLConnection openConnection(URL server) throws IOException {
      System.out.println("asked for " + server);
      throw new IOException("no network in tests");
    }

    @Override
    protected URLConnection openConnection(URL server, Proxy through) throws IOException {
      return openConnection(server);
    }
  }

  public static void use() throws IOException {
    Path folder = GoldenModels.folder("gpt2-tied");
    try (OnnxModel model = OnnxModel.open(folder, new OnnxModel.Options(1));
        Tokenizer tokenizer = Tokenizer.open(folder)) {
      int[] tokens = tokenizer.encode("a b c");
      model.logits(
          new int[][] {tokens}, FloatBuffer.allocate(tokens.length * model.vocabularySize()));
    }
  }

  private static void fatJar(String classPath) throws Exception {
    List<URL> all = new ArrayList<>();
    for (String entry : classPath.split(File.pathSeparator, -1)) {
      all.add(Path.of(entry).toUri().toURL());
    }
    try (URLClassLoader loader =
        new URLClassLoader(all.toArray(URL[]::new), ClassLoader.getPlatformClassLoader())) {
      Class<?> inside = loader.loadClass(OpenedModel.class.getName());
      ForkJoinPool.commonPool().submit(() -> inside.getMethod("use").invoke(null)).get();
    }
  }
}
