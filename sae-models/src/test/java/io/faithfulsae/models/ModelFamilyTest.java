package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.Safetensors;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ModelFamilyTest {
  @Test
  void findsFamiliesByTheirModelType() {
    assertEquals("gpt2", ModelFamily.named("gpt2").modelType());
    assertTrue(ModelFamily.installed().containsKey("stranger"), "a family from another jar");
  }

  @Test
  void listsTheFamiliesIfThereIsNoneOfThatType() {
    String message =
        assertThrows(IllegalArgumentException.class, () -> ModelFamily.named("gpt3")).getMessage();
    assertTrue(message.startsWith("expected one of the installed families [gemma2, "), message);
    assertTrue(message.contains("], got gpt3; "), message);
  }

  @Test
  void whatAStrangersFamilyThrowsNamesItsClassAndJar(@TempDir Path dir) throws IOException {
    Path services = Files.createDirectories(dir.resolve("jar/META-INF/services"));
    Files.writeString(services.resolve(ModelFamily.class.getName()), Throwing.class.getName());
    Files.writeString(dir.resolve("config.json"), "{\"model_type\": \"throwing\"}");
    Safetensors.write(
        dir.resolve("model.safetensors"),
        Map.of(),
        List.of(Safetensors.Tensor.ofFloats("x", FloatBuffer.allocate(1), 1)));
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    URL[] jar = {dir.resolve("jar").toUri().toURL()};
    try (URLClassLoader stranger = new URLClassLoader(jar, before)) {
      Thread.currentThread().setContextClassLoader(stranger);
      String message =
          assertThrows(IllegalStateException.class, () -> OnnxModel.open(dir)).getMessage();
      assertTrue(message.startsWith("expected " + Services.origin(new Throwing()) + " to read"));
      assertTrue(message.contains("got java.lang.ClassCastException: no; report it"), message);
    } finally {
      Thread.currentThread().setContextClassLoader(before);
    }
  }

  /** Registered by one test. */
  public static final class Throwing implements ModelFamily {
    @Override
    public String modelType() {
      return "throwing";
    }

    @Override
    public Architecture architecture(ModelConfig config, Weights weights) {
      throw new ClassCastException("no");
    }
  }
}
