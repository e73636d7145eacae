package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Formats and families of SAEs from another jar. */
class SaeFormatsTest {
  private final Backend backend = new ReferenceBackend();
  private final ClassLoader before = Thread.currentThread().getContextClassLoader();
  @TempDir Path dir;

  @AfterEach
  void restore() {
    Thread.currentThread().setContextClassLoader(before);
    backend.close();
  }

  /** As a jar on the class path would. */
  private void register(Class<?>... formats) throws IOException {
    registerNames(List.of(formats).stream().map(Class::getName).toList());
  }

  private void registerNames(List<String> formats) throws IOException {
    Path jar = dir.resolve("stranger");
    Path file = jar.resolve("META-INF/services/io.faithfulsae.SaeFormat");
    Files.createDirectories(file.getParent());
    Files.writeString(file, String.join("\n", formats));
    Thread.currentThread()
        .setContextClassLoader(new URLClassLoader(new URL[] {jar.toUri().toURL()}, before));
  }

  @Test
  void anAddedFormatIsReadWrittenAndNamed() throws IOException {
    register(Lines.class);
    Path folder = dir.resolve("sae");
    SaeConfig config = new SaeConfig(2, 3, new Relu(), true, SaeConfig.Normalization.NONE);
    float[] encoder = {1, 2, 3, 4, 5, 6};
    try (Sae sae = Sae.create(config, Map.of("hook_name", "here"), backend)) {
      sae.parameters().write(Tensor.W_ENC, 0, direct(encoder));
      sae.save(folder, SaeFormats.named("LINES"));
    }
    assertTrue(Files.exists(folder.resolve("lines.txt")));
    SaeInfo info = SaeInfo.read(folder);
    assertEquals("lines", info.writer());
    assertEquals(Files.size(folder.resolve("lines.txt")), info.bytes());
    try (Sae again = Sae.load(folder, backend)) {
      assertEquals(config, again.config());
      assertEquals(Map.of("hook_name", "here"), again.metadata());
      FloatBuffer read = FloatBuffer.allocate(6);
      again.readEncoder(0, read);
      assertArrayEquals(encoder, read.array());
    }
    assertEquals("lines", SaeFormats.installed().get(SaeFormats.installed().size() - 1).name());
  }

  @Test
  void withoutItsJarTheFolderIsNotAnSae() throws IOException {
    Files.writeString(dir.resolve("lines.txt"), "1 1\n\n0 0");
    assertThrows(IOException.class, () -> Sae.load(dir, backend));
    String message =
        assertThrows(IllegalArgumentException.class, () -> SaeFormats.named("lines")).getMessage();
    assertTrue(
        message.startsWith("expected one of the installed formats [SAELens, sparsify, "), message);
    assertTrue(message.endsWith("got lines; choose one, or add its jar to the class path"));
  }

  /** SAELens lets anybody register an architecture, and saves it in its own two files. */
  @Test
  void aFamilyReadsAKnownLibrarysFilesOfAnUnknownArchitecture() throws IOException {
    Path folder = saeLensFolder("doubled");
    String refused =
        assertThrows(SaeFormatException.class, () -> Sae.load(folder, backend)).getMessage();
    assertTrue(refused.contains("architecture: expected standard, "), refused);
    register(Doubled.class);
    try (Sae sae = Sae.load(folder, backend);
        Sae plain = Sae.load(saeLensFolder("topk"), backend)) {
      assertEquals("doubled", SaeInfo.read(folder).writer());
      assertEquals("SAELens", SaeInfo.read(saeLensFolder("topk")).writer());
      float[] theirs = plain.encoderDirection(0);
      float[] ours = sae.encoderDirection(0);
      assertEquals(2 * theirs[0], ours[0]);
    }
  }

  private Path saeLensFolder(String architecture) throws IOException {
    Path golden = dir.resolve("arch/saelens_topk");
    for (String file : List.of("cfg.json", "sae_weights.safetensors")) {
      if (!Files.exists(golden.resolve(file))) {
        Goldens.copy("arch/saelens_topk/" + file, dir);
      }
    }
    Path folder = Files.createDirectories(dir.resolve("saelens-" + architecture));
    Files.writeString(
        folder.resolve("cfg.json"),
        Files.readString(golden.resolve("cfg.json"))
            .replace("\"architecture\": \"topk\"", "\"architecture\": \"" + architecture + "\""));
    Path weights = folder.resolve("sae_weights.safetensors");
    Files.deleteIfExists(weights);
    Files.copy(golden.resolve("sae_weights.safetensors"), weights);
    return folder;
  }

  @Test
  void whatItThrowsIsReportedWithItsClassAndJar() throws IOException {
    register(Throwing.class);
    Path file = Files.writeString(dir.resolve("x.throwing"), "open");
    String message =
        assertThrows(SaeFormatException.class, () -> Sae.load(file, backend)).getMessage();
    assertEquals(
        file
            + ": throwing: expected "
            + Services.origin(new Throwing())
            + " to read it, got java.lang.ArrayIndexOutOfBoundsException: 7; report it to the"
            + " author of that class, or remove its jar from the class path",
        message);
    Files.writeString(file, "weights");
    message = assertThrows(SaeFormatException.class, () -> Sae.load(file, backend)).getMessage();
    assertTrue(message.contains(" to read the weights, got java.lang.ClassCastException"), message);
    Files.writeString(file, "nan");
    message = assertThrows(SaeFormatException.class, () -> Sae.load(file, backend)).getMessage();
    assertTrue(message.contains("W_DEC: expected finite weights from " + Throwing.class.getName()));
    assertTrue(message.contains("got NaN in element 1; "), message);
    assertEquals(0, backend.liveBytes());
    Files.writeString(file, "recognizes");
    message = assertThrows(SaeFormatException.class, () -> SaeInfo.read(file)).getMessage();
    assertTrue(message.contains(" to say whether it recognizes it, got java.lang.ArithmeticExcep"));
    assertEquals("SAELens", SaeInfo.read(saeLensFolder("topk")).writer(), "does not need it");
  }

  @Test
  void aFormatThatOnlyReadsIsNotWritten() throws IOException {
    register(Throwing.class);
    Path to = dir.resolve("to");
    try (Sae sae = Sae.create(SaeConfig.topK(2, 3, 1), backend)) {
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class, () -> sae.save(to, SaeFormats.named("throwing")));
      assertEquals(
          "expected a format that can be written, got throwing; use another format",
          e.getMessage());
      sae.parameters().write(Tensor.B_DEC, 0, direct(Float.NaN, 0));
      assertThrows(IllegalStateException.class, () -> sae.save(to, new Lines()));
      sae.parameters().write(Tensor.B_DEC, 0, direct(0, 0));
      sae.save(dir.resolve("taken"));
      String taken =
          assertThrows(IOException.class, () -> sae.save(dir.resolve("taken"), new Lines()))
              .getMessage();
      assertTrue(taken.startsWith("expected a folder without an SAE in another format"), taken);
    }
    assertFalse(Files.exists(to.resolve("lines.txt")));
  }

  @Test
  void twoOfOneNameAndTwoThatRecognizeAPathAreBothNamed() throws IOException {
    Files.writeString(dir.resolve("lines.txt"), "1 1\n\n0 0");
    register(Lines.class, SameName.class);
    String message =
        assertThrows(IllegalStateException.class, () -> SaeFormats.named("lines")).getMessage();
    assertEquals(
        "expected one SaeFormat \"lines\", got "
            + Services.origin(new Lines())
            + " and "
            + Services.origin(new SameName())
            + "; remove one of them from the class path",
        message);
    register(Lines.class, OtherName.class);
    message = assertThrows(SaeFormatException.class, () -> Sae.load(dir, backend)).getMessage();
    assertTrue(
        message.contains("expected one format that recognizes it, got " + Lines.class.getName()),
        message);
  }

  @Test
  void whatCannotBeLoadedIsNamedWithTheFileThatRegistersIt() throws IOException {
    registerNames(List.of("com.example.Missing # of an older jar"));
    String message = assertThrows(IllegalStateException.class, SaeFormats::installed).getMessage();
    assertTrue(message.startsWith("expected a SaeFormat that can be loaded, got "), message);
    assertTrue(message.contains("com.example.Missing not found, registered in file:"), message);
    assertTrue(message.contains("/stranger/META-INF/services/io.faithfulsae.SaeFormat;"), message);
    register(Unmade.class);
    message = assertThrows(IllegalStateException.class, SaeFormats::installed).getMessage();
    assertTrue(message.contains("(java.lang.IllegalStateException: no license), reg"), message);
  }

  private static FloatBuffer direct(float... values) {
    return DirectBuffers.floats(values.length).put(values).flip();
  }

  /** A format of one text file: sizes, hook point, W_enc. */
  public static class Lines implements SaeFormat {
    @Override
    public String name() {
      return "lines";
    }

    @Override
    public boolean recognizes(Path path) {
      return Files.exists(path.resolve("lines.txt"));
    }

    @Override
    public Stored open(Path path) throws IOException {
      Path file = path.resolve("lines.txt");
      List<String> lines = Files.readAllLines(file);
      String[] sizes = lines.get(0).split(" ");
      SaeConfig config =
          new SaeConfig(
              Integer.parseInt(sizes[0]),
              Integer.parseInt(sizes[1]),
              new Relu(),
              true,
              SaeConfig.Normalization.NONE);
      return new Fixed(config, Map.of("hook_name", lines.get(1)), file) {
        @Override
        public void readWeights(BackendSae into) {
          FloatBuffer encoder = DirectBuffers.floats(into.shape().elements(Tensor.W_ENC));
          for (String value : lines.get(2).split(" ")) {
            encoder.put(Float.parseFloat(value));
          }
          into.write(Tensor.W_ENC, 0, encoder.flip());
        }
      };
    }

    @Override
    public void write(Path folder, SaeConfig config, Map<String, String> metadata, BackendSae from)
        throws IOException {
      FloatBuffer encoder = DirectBuffers.floats(from.shape().elements(Tensor.W_ENC));
      from.read(Tensor.W_ENC, 0, encoder);
      StringBuilder text = new StringBuilder(config.dIn() + " " + config.dSae() + "\n");
      text.append(metadata.get("hook_name")).append('\n');
      while (encoder.hasRemaining()) {
        text.append(encoder.get()).append(' ');
      }
      Files.writeString(folder.resolve("lines.txt"), text);
    }
  }

  /** Another jar's of the same name. */
  public static final class SameName extends Lines {}

  /** Recognizes the same files. */
  public static final class OtherName extends Lines {
    @Override
    public String name() {
      return "other";
    }
  }

  private abstract static class Fixed implements SaeFormat.Stored {
    private final SaeConfig config;
    private final Map<String, String> metadata;
    private final Path weights;

    Fixed(SaeConfig config, Map<String, String> metadata, Path weights) {
      this.config = config;
      this.metadata = metadata;
      this.weights = weights;
    }

    @Override
    public SaeConfig config() {
      return config;
    }

    @Override
    public Map<String, String> metadata() {
      return metadata;
    }

    @Override
    public Path weights() {
      return weights;
    }
  }

  /** A family in SAELens' files: TopK whose pre-activations count twice. */
  public static final class Doubled implements SaeFormat {
    @Override
    public String name() {
      return "doubled";
    }

    @Override
    public boolean recognizes(Path path) throws IOException {
      Path config = path.resolve("cfg.json");
      return Files.exists(config) && Files.readString(config).contains("\"doubled\"");
    }

    @Override
    public Stored open(Path path) throws IOException {
      Path weights = path.resolve("sae_weights.safetensors");
      return new Fixed(SaeConfig.topK(6, 12, 3).withActivation(new TopK(3)), Map.of(), weights) {
        @Override
        public void readWeights(BackendSae into) throws IOException {
          try (Safetensors file = Safetensors.open(weights)) {
            float[] byInput = Goldens.floats(file, "W_enc");
            FloatBuffer encoder = DirectBuffers.floats(byInput.length);
            for (int latent = 0; latent < into.dSae(); latent++) {
              for (int i = 0; i < into.dIn(); i++) {
                encoder.put(2 * byInput[i * into.dSae() + latent]);
              }
            }
            into.write(Tensor.W_ENC, 0, encoder.flip());
          }
        }
      };
    }
  }

  /** Throws where the file says. */
  public static final class Throwing implements SaeFormat {
    @Override
    public String name() {
      return "throwing";
    }

    @Override
    public boolean recognizes(Path path) throws IOException {
      boolean own = path.toString().endsWith(".throwing");
      if (own && Files.readString(path).equals("recognizes")) {
        throw new ArithmeticException("/ by zero");
      }
      return own;
    }

    @Override
    public Stored open(Path path) throws IOException {
      String where = Files.readString(path);
      if (where.equals("open")) {
        throw new ArrayIndexOutOfBoundsException("7");
      }
      return new Fixed(SaeConfig.topK(2, 3, 1), Map.of(), path) {
        @Override
        public void readWeights(BackendSae into) {
          if (where.equals("weights")) {
            throw new ClassCastException("no");
          }
          into.write(Tensor.W_DEC, 0, direct(1, Float.NaN));
        }
      };
    }
  }

  /** Cannot be instantiated. */
  public static final class Unmade extends Lines {
    /** Throws. */
    public Unmade() {
      throw new IllegalStateException("no license");
    }
  }
}
