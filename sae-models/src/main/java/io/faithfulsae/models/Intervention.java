package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Selection.Rule;

/**
 * A change of the activations at a hook point while the model runs, the same at every position: the
 * rest of the model continues from the changed ones. It applies to whole sequences ({@link
 * OnnxModel#logits(int[][], java.util.List, java.nio.FloatBuffer)}) and to decoding with a KV cache
 * ({@link OnnxModel#decoder(int, int, java.util.List)}) alike.
 *
 * <p><b>Several</b> at one hook point all see the activations as they arrive there, and their
 * changes are added, so that their order does not matter. Those at other hook points see what
 * earlier ones made of the model.
 *
 * <p>A model rejects one with an {@link IllegalArgumentException} if it has no such hook point, the
 * width there is another, or a latent is clamped twice. The SAE may be closed once the decoder is
 * open, or the call has returned.
 */
public sealed interface Intervention {

  /** Where the activations are changed. */
  HookPoint hook();

  /**
   * Adds {@code strength * direction}.
   *
   * @param hook where
   * @param direction <b>Shape</b> {@code [width]} of the activations there; copied
   * @param strength how many times it is added; negative to steer away
   */
  @SuppressWarnings("ArrayRecordComponent") // copied, and compared by identity
  record AddDirection(HookPoint hook, float[] direction, double strength) implements Intervention {
    /**
     * Checks the product.
     *
     * @throws IllegalArgumentException if an element of it is not finite
     */
    public AddDirection {
      direction = direction.clone();
      for (int i = 0; i < direction.length; i++) {
        if (!Float.isFinite((float) (strength * direction[i]))) {
          throw new IllegalArgumentException(
              Expected.message(
                  "a finite strength * direction",
                  strength + " * " + direction[i] + " at index " + i,
                  "use a smaller strength"));
        }
      }
    }

    /** A copy of the direction. */
    @Override
    public float[] direction() {
      return direction.clone();
    }
  }

  /**
   * Sets a latent's value z to another and keeps everything else, the SAE's error included: adds
   * {@code (value - z) * W_dec[latent]}. If the SAE normalizes rows, values are those of the
   * normalized row, as {@link Sae#encode(io.faithfulsae.ActivationBatch)} gives them, and the
   * change is scaled back.
   *
   * @param hook where
   * @param sae trained on the activations there. Views count as the SAE with their k; a mask
   *     ({@link Sae#only}) is ignored
   * @param latent in {@code [0, dSae)}
   * @param value in the units of the latent; 0 to ablate it
   */
  record ClampLatent(HookPoint hook, Sae sae, int latent, double value) implements Intervention {
    /**
     * Checks that the latent can be clamped.
     *
     * @throws IllegalArgumentException if there is no such latent, the value is not finite, the SAE
     *     is a transcoder, or its latents depend on other rows (BatchTopK without a threshold)
     */
    public ClampLatent {
      Expected.inRange(
          "latent", latent, 0, sae.config().dSae() - 1, "use one of the SAE's latents");
      if (!Float.isFinite((float) value)) {
        throw new IllegalArgumentException(
            Expected.message("a finite value", value, "use a smaller one"));
      }
      String target = sae.targetHook();
      if (sae.config().dOut() != sae.config().dIn()
          || sae.config().skip()
          || (target != null && !target.equals(hook.toString()))) {
        throw new IllegalArgumentException(
            Expected.message(
                "an SAE that reads and writes " + hook,
                "a transcoder" + (target == null ? "" : " to " + target),
                "add a multiple of the latent's decoder direction there instead"));
      }
      if (sae.config().activation().selection().rule() == Rule.BATCH_TOP_K) {
        throw new IllegalArgumentException(
            Expected.message(
                "an SAE whose latents depend on one row alone",
                sae.config().activation().label() + " without a threshold",
                "use one with the threshold that training learned"));
      }
    }
  }

  /**
   * Adds {@code strength} times a latent's decoder direction where the SAE writes.
   *
   * @throws IllegalStateException if the SAE does not say where; see {@link Sae#hookPoint}
   */
  static Intervention add(Sae sae, int latent, double strength) {
    String target = sae.targetHook();
    HookPoint hook = target == null ? sae.hookPoint() : HookPoint.parse(target);
    return new AddDirection(hook, sae.decoderDirection(latent), strength);
  }

  /**
   * Sets a latent's value at the SAE's own hook point.
   *
   * @throws IllegalStateException if the SAE does not say where; see {@link Sae#hookPoint}
   */
  static Intervention clamp(Sae sae, int latent, double value) {
    return new ClampLatent(sae.hookPoint(), sae, latent, value);
  }

  /** Sets a latent's value to 0 at the SAE's own hook point; see {@link #clamp}. */
  static Intervention ablate(Sae sae, int latent) {
    return clamp(sae, latent, 0);
  }
}
