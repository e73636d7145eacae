package io.faithfulsae.javabackend.internal;

import org.jspecify.annotations.Nullable;

/** The gradient of the loss times the number of rows, either stored or computed when asked for. */
interface Gradient {

  /**
   * Sets the gradients of one latent's encoder and decoder rows. Called by many threads.
   *
   * @param wEnc {@code [dIn]}
   * @param wDec {@code [dOut]}
   */
  void latent(int latent, float[] wEnc, float[] wDec);

  /** {@code [dSae]}. */
  float[] bEnc();

  /** {@code [dOut]}. */
  float[] bDec();

  /** {@code [dOut, dIn]}; null without a skip connection. */
  @Nullable Matrix wSkip();
}
