package io.faithfulsae;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/**
 * A format of SAEs on disk; {@link SaeFormats} has the built-in ones. To add one, implement this
 * interface and list the class in {@code META-INF/services/io.faithfulsae.SaeFormat}: {@link
 * Sae#load}, {@link SaeInfo}, {@link SaeFormats#named} and the commands then know it.
 *
 * <p>It also brings a family of SAEs, by mapping their options and weights onto a {@link SaeConfig}
 * and its tensors. An added format is asked where no built-in one recognizes the path, and where
 * the one that does has no such architecture. So it may read, say, SAELens' folders of an
 * architecture that only its author knows.
 *
 * <p><b>Threads</b>: called from any thread, several at once. A new instance is made for each use.
 * What it throws, other than as described here, is reported with its class and jar.
 */
public interface SaeFormat {

  /**
   * Its name: {@link SaeInfo#writer()}, and {@code sae convert --format NAME}, where upper and
   * lower case are the same.
   */
  String name();

  /**
   * Whether a path is an SAE of this format. Called often, also for folders around the one that a
   * user named: looks at names, at most at a small file.
   *
   * @param path an existing file or folder
   * @throws IOException if it cannot be read
   */
  boolean recognizes(Path path) throws IOException;

  /**
   * Reads what an SAE is, without its weights. Leaves no file open.
   *
   * @param path one that {@link #recognizes} accepted
   * @throws io.faithfulsae.io.SaeFormatException if it is damaged, or needs what {@link SaeConfig}
   *     cannot say; the message names the field
   */
  Stored open(Path path) throws IOException;

  /**
   * Writes an SAE into a folder that has none of another format; {@link Sae#save(Path, SaeFormat)}
   * has locked it. Each file should be written whole ({@link io.faithfulsae.io.AtomicFile}), the
   * one by which the format recognizes the folder last.
   *
   * @param from to read the tensors of {@link SaeConfig#shape()} from. Not closed.
   * @throws IllegalArgumentException if this format cannot express the SAE, before anything is
   *     written; by default, always
   */
  default void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    throw new IllegalArgumentException(
        Expected.message("a format that can be written", name(), "use another format"));
  }

  /** An SAE on disk. */
  interface Stored {

    /** Its shape and activation, after what {@link #readWeights} folds into the weights. */
    SaeConfig config();

    /** See {@link Sae#metadata()}. */
    Map<String, String> metadata();

    /** The file with the weights. */
    Path weights();

    /**
     * Writes every tensor of {@link SaeConfig#shape()}, as {@link BackendSae.Tensor} describes it;
     * one that is not written is zero (for BatchTopK, the threshold is the configuration's). Leaves
     * no file open.
     *
     * @param into only written to. Not closed.
     * @throws io.faithfulsae.io.SaeFormatException if the file is damaged; a weight that is NaN or
     *     infinite is found by the caller
     */
    void readWeights(BackendSae into) throws IOException;
  }
}
