package io.faithfulsae;

/**
 * A source for transcoders: each row holds what the transcoder reads and, behind it, what it should
 * write, both from one pass of the model. {@link #dIn()} is the width of both together, so that an
 * SAE's width does not fit by mistake.
 *
 * <p>{@link ActivationSources#ofModel(LanguageModel, HookPoint, HookPoint, TokenSource,
 * ActivationFilter, int)} and {@link ActivationSources#pairs} make one.
 */
public interface PairedSource extends ActivationSource {

  /** Width of the target: the last elements of a row. */
  int dOut();
}
