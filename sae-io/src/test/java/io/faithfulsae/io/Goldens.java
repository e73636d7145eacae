package io.faithfulsae.io;

import java.io.IOException;
import java.io.InputStream;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;

/** Golden files as paths: they are in a jar when another module's tests use them. */
public final class Goldens {
  private Goldens() {}

  /** Copies a file from {@code golden/} to a folder and returns its path. */
  public static Path copy(String name, Path folder) throws IOException {
    try (InputStream in = Goldens.class.getResourceAsStream("/golden/" + name)) {
      if (in == null) {
        throw new IOException(
            "no golden/" + name + "; run its make_*.py in src/test/resources/golden");
      }
      Path file = folder.resolve(name);
      Files.createDirectories(file.getParent());
      Files.copy(in, file);
      return file;
    }
  }

  /** All values of a tensor, as float32. */
  public static float[] floats(Safetensors file, String name) throws IOException {
    FloatBuffer values = FloatBuffer.allocate((int) file.entry(name).elements());
    file.readFloats(name, 0, values);
    return values.array();
  }

  /** Norm of the difference over the norm of the expected values. */
  public static double relativeError(float[] actual, float[] expected) {
    if (actual.length != expected.length) {
      throw new IllegalArgumentException(actual.length + " values for " + expected.length);
    }
    double difference = 0;
    double size = 0;
    for (int i = 0; i < actual.length; i++) {
      difference += Math.pow((double) actual[i] - expected[i], 2);
      size += (double) expected[i] * expected[i];
    }
    return Math.sqrt(difference / size);
  }
}
