package io.faithfulsae;

import java.util.Locale;

/** A format that {@link Sae#save(java.nio.file.Path, SaeFormat)} writes. */
public enum SaeFormat {
  /**
   * SAELens 6: {@code cfg.json} and {@code sae_weights.safetensors}. Not GroupMax, nor a transcoder
   * of TopK, BatchTopK without a threshold, AbsTopK or gated latents.
   */
  SAELENS,
  /**
   * sparsify: {@code cfg.json} and {@code sae.safetensors}. TopK and GroupMax; transcoders and skip
   * connections where {@code d_out = d_in}.
   */
  SPARSIFY,
  /**
   * dictionary_learning: {@code config.json} and {@code ae.pt}. Autoencoders of TopK, BatchTopK,
   * ReLU, JumpReLU and gated latents.
   */
  DICTIONARY_LEARNING;

  /** The name in lower case. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }
}
