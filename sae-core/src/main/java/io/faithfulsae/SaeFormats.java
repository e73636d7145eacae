package io.faithfulsae;

import io.faithfulsae.internal.SaeFolder;
import java.util.List;

/** The formats of SAEs on disk: those of this library, and of other jars. */
public final class SaeFormats {
  /**
   * SAELens 6: {@code cfg.json} and {@code sae_weights.safetensors}. Writes all but GroupMax, and a
   * transcoder of TopK, BatchTopK without a threshold, AbsTopK or gated latents.
   */
  public static final SaeFormat SAELENS = SaeFolder.builtIn("SAELens");

  /**
   * sparsify: {@code cfg.json} and {@code sae.safetensors}. Writes TopK and GroupMax; transcoders
   * and skip connections where {@code d_out = d_in}.
   */
  public static final SaeFormat SPARSIFY = SaeFolder.builtIn("sparsify");

  /**
   * dictionary_learning: {@code config.json} and {@code ae.pt}. Writes autoencoders of TopK,
   * BatchTopK, ReLU, JumpReLU and gated latents.
   */
  public static final SaeFormat DICTIONARY_LEARNING = SaeFolder.builtIn("dictionary_learning");

  private SaeFormats() {}

  /**
   * All formats: the built-in ones, then those of other jars on the class path. Some are only read.
   *
   * @throws IllegalStateException if one cannot be loaded, or two have the same name; the message
   *     names the classes and jars
   */
  public static List<SaeFormat> installed() {
    return SaeFolder.formats();
  }

  /**
   * A format by its name, in upper or lower case.
   *
   * @throws IllegalArgumentException if there is none of that name; the message lists all names
   * @throws IllegalStateException as for {@link #installed}
   */
  public static SaeFormat named(String name) {
    return SaeFolder.format(name);
  }
}
