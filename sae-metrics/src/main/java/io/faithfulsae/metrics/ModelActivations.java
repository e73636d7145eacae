package io.faithfulsae.metrics;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.TokenSource;

/**
 * The activations of a language model at a hook point on a text: what an SAE is evaluated on. This
 * is only a recipe: the model does not run, and the text is not opened, until a metric reads it.
 *
 * <p><b>Shape</b>: each position of the text is a row {@code [dModel]} of float32 activations; the
 * rows that the filter keeps reach the SAE. <b>Units</b>: the model's own; lengths are in tokens.
 * <b>Closed by</b>: whoever opened the model closes it, once no metric needs it any more; there is
 * nothing else to close.
 *
 * @param on the model and its hook point
 * @param text sequences of tokens, each starting with BOS if the model expects one
 * @param filter selects the positions that reach the SAE
 */
public record ModelActivations(HookedModel on, TokenSource text, ActivationFilter filter) {

  /**
   * A model with the hook point at which its activations are read or replaced.
   *
   * @param model must stay open while this is in use. <b>Closed by</b> whoever opened it.
   * @param hook a hook point of the model
   */
  public record HookedModel(LanguageModel model, HookPoint hook) {
    /**
     * Checks the hook point.
     *
     * @throws IllegalArgumentException if the model does not have it; the message lists those it
     *     has
     */
    public HookedModel {
      hook.requireIn(model);
    }
  }

  /**
   * The activations of a model at a hook point.
   *
   * @throws IllegalArgumentException if the model does not have the hook point; the message lists
   *     those it has
   */
  public ModelActivations(
      LanguageModel model, HookPoint hook, TokenSource text, ActivationFilter filter) {
    this(new HookedModel(model, hook), text, filter);
  }

  /** The model. */
  public LanguageModel model() {
    return on.model();
  }

  /** The hook point. */
  public HookPoint hook() {
    return on.hook();
  }

  /**
   * The rows that the filter keeps, in the order of the text.
   *
   * @param batchSequences sequences per forward pass, at least 1
   * @throws IllegalArgumentException if {@code batchSequences} is below 1
   */
  public ActivationSource source(int batchSequences) {
    return ActivationSources.ofModel(on.model(), on.hook(), text, filter, batchSequences);
  }
}
