package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Services;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;

/**
 * A format from another jar. What it throws and must not is reported with its class and jar, and
 * the weights it reads are checked.
 */
record AddedFormat(SaeFormat format, String name) implements SaeFormat {
  private static final int BLOCK_FLOATS = 4 << 20;

  private interface Call<T> {
    T run() throws IOException;
  }

  /**
   * Those on the class path.
   *
   * @throws IllegalStateException if one cannot be loaded, or two have the same name
   */
  static List<AddedFormat> all() {
    return Services.byName(SaeFormat.class, SaeLayouts.builtIn(), AddedFormat::key)
        .values()
        .stream()
        .filter(format -> !(format instanceof Layout))
        .map(format -> new AddedFormat(format, format.name()))
        .toList();
  }

  /** What a name is looked up by. */
  static String key(SaeFormat format) {
    return format.name().toLowerCase(Locale.ROOT);
  }

  /** Its class and jar. */
  String origin() {
    return Services.origin(format);
  }

  @Override
  public boolean recognizes(Path path) throws IOException {
    return call(path, "say whether it recognizes it", () -> format.recognizes(path));
  }

  @Override
  public Stored open(Path path) throws IOException {
    return call(
        path,
        "read it",
        () -> {
          Stored stored = format.open(path);
          return new Checked(
              Objects.requireNonNull(stored.config(), "config"),
              Objects.requireNonNull(stored.metadata(), "metadata"),
              Objects.requireNonNull(stored.weights(), "weights"),
              stored,
              this);
        });
  }

  @Override
  public void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    for (Tensor tensor : config.shape().tensors()) {
      blocks(tensor, from, (first, block) -> NonFiniteException.check(tensor.name(), block));
    }
    try {
      format.write(dir, config, metadata, from);
    } catch (IllegalArgumentException e) { // it cannot express the SAE
      throw e;
    } catch (RuntimeException | LinkageError e) {
      throw failure(dir, "write it", e);
    }
  }

  private <T> T call(Path path, String asked, Call<T> call) throws IOException {
    try {
      return call.run();
    } catch (RuntimeException | LinkageError e) {
      throw failure(path, asked, e);
    }
  }

  private IOException failure(Path path, String asked, Throwable thrown) {
    SaeFormatException failure =
        new SaeFormatException(path, name, Services.failure(format, asked, thrown));
    failure.initCause(thrown);
    return failure;
  }

  private interface BlockUser {
    void use(long first, FloatBuffer block) throws IOException;
  }

  private static void blocks(Tensor tensor, BackendSae of, BlockUser user) throws IOException {
    long elements = of.shape().elements(tensor);
    FloatBuffer block = DirectBuffers.floats(Math.min(elements, BLOCK_FLOATS));
    for (long first = 0; first < elements; first += BLOCK_FLOATS) {
      block.limit((int) Math.min(elements - first, BLOCK_FLOATS));
      of.read(tensor, first, block);
      user.use(first, block);
    }
  }

  private record Checked(
      SaeConfig config,
      Map<String, String> metadata,
      Path weights,
      Stored stored,
      AddedFormat format)
      implements Stored {
    @Override
    public void readWeights(BackendSae into) throws IOException {
      format.call(
          weights,
          "read the weights",
          () -> {
            stored.readWeights(into);
            return stored;
          });
      for (Tensor tensor : into.shape().tensors()) {
        blocks(tensor, into, (first, block) -> requireFinite(tensor, first, block));
      }
    }

    /** A latent with NaN weights would silently never fire. */
    private void requireFinite(Tensor tensor, long first, FloatBuffer block)
        throws SaeFormatException {
      int at = Finite.firstOther(block);
      if (at >= 0) {
        throw new SaeFormatException(
            weights,
            tensor.name(),
            Expected.message(
                "finite weights from " + format.origin(),
                block.get(at) + " in element " + (first + at),
                "train again, or fetch the file again"));
      }
    }
  }
}
