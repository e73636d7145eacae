package io.faithfulsae.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Backends;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.cli.SaeCommand;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.study.EmbeddedModel;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The project in {@code examples/plugin}, built outside the tree as a stranger's, plugs into the
 * command.
 */
final class PlugInTest {
  private static final Path PROJECT = Path.of("plugin").toAbsolutePath();
  private static final String CLASS_PATH = System.getProperty("java.class.path");
  private static final Random RANDOM = new Random(7);

  @TempDir static Path outside;
  private static Path jar = Path.of("");

  @TempDir Path dir;

  private record Ran(int code, String out, String err) {
    JsonNode json() throws IOException {
      assertEquals(0, code, err);
      return new JsonMapper().readTree(out);
    }
  }

  @BeforeAll
  static void build() throws IOException {
    copy(PROJECT, outside.resolve("project"));
    Path main = outside.resolve("project/src/main");
    Path classes = Files.createDirectories(outside.resolve("classes"));
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    try (StandardJavaFileManager files = compiler.getStandardFileManager(null, null, null);
        Stream<Path> sources = Files.walk(main.resolve("java"))) {
      List<Path> java = sources.filter(file -> file.toString().endsWith(".java")).toList();
      assertTrue(java.size() >= 6, java.toString());
      List<String> options =
          List.of(
              "--release",
              "17",
              "-Xlint:all",
              "-Werror",
              "-proc:none",
              "-cp",
              CLASS_PATH,
              "-d",
              classes.toString());
      assertTrue(
          compiler
              .getTask(null, files, null, options, null, files.getJavaFileObjectsFromPaths(java))
              .call());
    }
    copy(main.resolve("resources"), classes);
    jar = pack(classes, outside.resolve("sae-plugin.jar"));
  }

  private static void copy(Path from, Path to) throws IOException {
    try (Stream<Path> files = Files.walk(from)) {
      for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
        Path target = to.resolve(from.relativize(file).toString());
        Files.createDirectories(target.getParent());
        Files.copy(file, target);
      }
    }
  }

  private static Path pack(Path classes, Path into) throws IOException {
    try (OutputStream file = Files.newOutputStream(into);
        JarOutputStream out = new JarOutputStream(file);
        Stream<Path> files = Files.walk(classes)) {
      for (Path each : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
        out.putNextEntry(new JarEntry(classes.relativize(each).toString()));
        Files.copy(each, out);
      }
    }
    return into;
  }

  /** Runs {@code sae} with the stranger's jar in another process. */
  private Ran sae(List<String> jvmOptions, Object... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED"));
    command.addAll(jvmOptions);
    command.addAll(List.of("-cp", CLASS_PATH + File.pathSeparator + jar));
    command.add(SaeCommand.class.getName());
    List.of(arguments).forEach(argument -> command.add(argument.toString()));
    Path out = dir.resolve("out.txt");
    Path err = dir.resolve("err.txt");
    Process process =
        new ProcessBuilder(command)
            .redirectOutput(out.toFile())
            .redirectError(err.toFile())
            .start();
    int code = process.waitFor();
    return new Ran(code, Files.readString(out), Files.readString(err));
  }

  /** A build by a stranger needs nothing but published coordinates, of this version. */
  @Test
  void theProjectStandsAlone() throws IOException {
    String pom = Files.readString(PROJECT.resolve("pom.xml"));
    String parent = Files.readString(Path.of("pom.xml").toAbsolutePath());
    Set<String> groups = all("<dependency>\\s*<groupId>([^<]+)<", pom);
    assertEquals(Set.of("io.faithfulsae"), groups);
    assertEquals(
        all("<artifactId>faithfulsae</artifactId>\\s*<version>([^<]+)<", parent),
        all("<artifactId>sae-(?:core|models)</artifactId>\\s*<version>([^<]+)<", pom));
    assertTrue(!pom.contains("<parent>"));
    String modules = Files.readString(PROJECT.resolve("../../pom.xml"));
    assertTrue(!modules.contains("plugin</module>"), "not a module");
  }

  private static Set<String> all(String pattern, String text) {
    return Pattern.compile(pattern)
        .matcher(text)
        .results()
        .map(match -> match.group(1))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  /** A family of SAEs is read, on the jar's backend, and written in the jar's format. */
  @Test
  void familyFormatAndBackend() throws IOException, InterruptedException {
    int d = 5;
    int latents = 7;
    Map<String, float[]> tensors = new LinkedHashMap<>();
    tensors.put("W_enc", random(d * latents));
    tensors.put("b_enc", random(latents));
    tensors.put("W_dec", random(latents * d));
    tensors.put("b_dec", random(d));
    tensors.put("gain", random(latents));
    for (int j = 0; j < latents; j++) {
      tensors.get("gain")[j] = Math.abs(tensors.get("gain")[j]);
    }
    Path folder = Files.createDirectories(dir.resolve("gain"));
    Safetensors.write(
        folder.resolve("sae_weights.safetensors"),
        Map.of(),
        List.of(
            tensor(tensors, "W_enc", d, latents),
            tensor(tensors, "b_enc", latents),
            tensor(tensors, "W_dec", latents, d),
            tensor(tensors, "b_dec", d),
            tensor(tensors, "gain", latents)));
    Files.writeString(
        folder.resolve("cfg.json"),
        """
        {"architecture": "gain", "d_in": 5, "d_sae": 7, "apply_b_dec_to_input": true,
         "metadata": {"sae_lens_version": "6.54.0", "hook_name": "blocks.1.hook_resid_pre"}}""");
    try (Backend backend = Backends.open("cpu")) {
      SaeFormatException refused =
          assertThrows(SaeFormatException.class, () -> Sae.load(folder, backend));
      assertTrue(refused.getMessage().contains("architecture: expected standard"));
    }
    assertThrows(BackendUnavailableException.class, () -> Backends.open("counted"));

    Path to = dir.resolve("text");
    Object[] convert = {"convert", "--json", "--from", folder, "--to", to, "--format", "TEXT"};
    Ran ran = sae(List.of("-Dsae.backend=counted"), convert);
    JsonNode converted = ran.json();
    assertEquals("text", converted.path("format").asText());
    assertEquals("relu", converted.path("activation").asText());
    assertTrue(converted.path("largestDifference").asDouble() <= 1e-5);
    assertTrue(all("encoded (\\d+) rows", ran.err()).stream().anyMatch(n -> !n.equals("0")));

    List<String> lines = Files.readAllLines(to.resolve("sae.txt"));
    assertEquals("5 7 relu true blocks.1.hook_resid_pre", lines.get(0));
    float[] encoder = new float[d * latents];
    float[] bias = new float[latents];
    for (int j = 0; j < latents; j++) {
      float gain = tensors.get("gain")[j];
      bias[j] = gain * tensors.get("b_enc")[j];
      for (int i = 0; i < d; i++) {
        encoder[j * d + i] = gain * tensors.get("W_enc")[i * latents + j];
      }
    }
    assertEquals(text(encoder), lines.get(1));
    assertEquals(text(bias), lines.get(2));
    assertEquals(text(tensors.get("W_dec")), lines.get(3));
    assertEquals(text(tensors.get("b_dec")), lines.get(4));

    JsonNode info = sae(List.of(), "info", "--json", to).json();
    assertEquals("text", info.path("writer").asText());
    assertEquals(7, info.path("dSae").asInt());
    assertEquals(to.resolve("sae.txt").toString(), info.path("weights").asText());
  }

  private static Tensor tensor(Map<String, float[]> tensors, String name, long... shape) {
    return Tensor.ofFloats(name, FloatBuffer.wrap(tensors.get(name)), shape);
  }

  private static String text(float[] values) {
    List<String> numbers = new ArrayList<>();
    for (float value : values) {
      numbers.add(String.valueOf(value));
    }
    return String.join(" ", numbers);
  }

  private static float[] random(int n) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) RANDOM.nextGaussian();
    }
    return values;
  }

  @Test
  void source() throws IOException, InterruptedException {
    float[] values = new float[3 * 1_000];
    StringBuilder csv = new StringBuilder(); // each row lies along one of the three axes
    for (int row = 0; row < 1_000; row++) {
      values[3 * row + row % 3] = 1 + row % 7;
      csv.append(text(Arrays.copyOfRange(values, 3 * row, 3 * row + 3)).replace(' ', ','))
          .append('\n');
    }
    Path rows = Files.writeString(dir.resolve("rows.csv"), csv);
    Path out = dir.resolve("sae");
    String source = "csv:" + rows;
    Object[] train = {
      "train",
      "--json",
      "--source",
      source,
      "--d-sae",
      8,
      "--k",
      1,
      "--tokens",
      30_000,
      "--batch",
      200,
      "--buffer-rows",
      2_000,
      "--lr",
      "1e-2",
      "--out",
      out
    };
    JsonNode trained = sae(List.of(), train).json();
    assertEquals(150, trained.path("steps").asInt());
    try (Backend backend = Backends.open("cpu");
        Sae sae = Sae.load(out, backend)) {
      assertEquals(source, sae.metadata().get("dataset_path"));
      double explained =
          Metrics.reconstruction(sae, ActivationSources.ofArray(values, 3), 1_000)
              .explainedVariance();
      assertTrue(explained > 0.9, "explained variance " + explained);
    }
    train[3] = "cvs:" + rows;
    train[train.length - 1] = dir.resolve("other");
    Ran misspelled = sae(List.of(), train);
    assertEquals(2, misspelled.code(), misspelled.err());
    assertTrue(
        misspelled
            .err()
            .contains("expected one of the installed sources [csv], got cvs; choose one, or add"),
        misspelled.err());
  }

  @Test
  void explainerAndModelFamily() throws IOException, InterruptedException {
    Path model = EmbeddedModel.unpack(dir.resolve("model"));
    Path config = model.resolve("config.json");
    String gpt2 = Files.readString(config);
    Files.writeString(config, gpt2.replace("\"gpt2\"", "\"plugin_gpt2\""));
    assertThrows(IllegalArgumentException.class, () -> ModelFamily.named("plugin_gpt2"));
    int width = new JsonMapper().readTree(gpt2).path("n_embd").asInt();
    Path folder = dir.resolve("sae");
    try (Backend backend = Backends.open("cpu");
        Sae sae =
            Sae.create(
                SaeConfig.topK(width, 32, 4),
                Map.of("hook_name", HookPoint.residPre(2).toString()),
                backend)) {
      FloatBuffer encoder = DirectBuffers.floats(32L * width).put(random(32 * width)).flip();
      sae.parameters().write(BackendSae.Tensor.W_ENC, 0, encoder);
      sae.parameters().write(BackendSae.Tensor.W_DEC, 0, encoder);
      sae.save(folder);
    }
    Path text =
        Files.writeString(
            dir.resolve("text.txt"),
            "Once upon a time there was a dog. The dog ran to the big tree and saw a cat.\n\n"
                .repeat(8));
    Path page = dir.resolve("page.html");
    Object[] dashboard = {
      "dashboard",
      "--model",
      model,
      "--sae",
      folder,
      "--data",
      text,
      "--context",
      32,
      "--random",
      6,
      "--sequences",
      8,
      "--examples",
      4,
      "--explain-with",
      "tokens:2",
      "--out",
      page
    };
    Ran ran = sae(List.of(), dashboard);
    assertEquals(0, ran.code(), ran.err());
    JsonNode latents = new JsonMapper().readTree(dir.resolve("page.json").toFile()).path("latents");
    assertEquals(6, latents.size());
    int explained = 0;
    for (JsonNode latent : latents) {
      String expected = expected(latent);
      assertEquals(expected, latent.path("explanation").asText());
      explained += expected.equals("fires at ") ? 0 : 1;
    }
    assertTrue(explained > 0, "no latent fires");
    assertTrue(Files.readString(page).contains("fires at "));
  }

  /** The tokens at which the examples on the page are strongest, most frequent first. */
  private static String expected(JsonNode latent) {
    Map<String, Integer> order = new HashMap<>();
    Map<String, Integer> counts = new LinkedHashMap<>();
    JsonNode examples = latent.path("description").path("examples");
    for (int e = 0; e < examples.size(); e++) {
      JsonNode activations = examples.get(e).path("activations");
      int best = 0;
      for (int t = 0; t < activations.size(); t++) {
        best = activations.get(t).asDouble() > activations.get(best).asDouble() ? t : best;
      }
      String token = latent.path("examples").get(e).get(best).asText().strip();
      order.putIfAbsent(token, e);
      counts.merge(token, 1, Integer::sum);
    }
    return counts.keySet().stream()
        .sorted(
            Comparator.comparing((String token) -> -counts.get(token)).thenComparing(order::get))
        .limit(2)
        .collect(Collectors.joining(", ", "fires at ", ""));
  }
}
