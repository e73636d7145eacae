package io.faithfulsae.metrics;

import io.faithfulsae.metrics.SharedFeatures.Directions;
import java.util.List;

/**
 * Neurons of two SAEs compared: a neuron is an element of the residual stream, and its vector is
 * what all latents write to it (a column of W_dec) or read from it (a row of W_enc), of length
 * dSae.
 *
 * <p>The authors' plots show these beside the features'. The latents of two seeds stand in
 * different order, and nothing puts them in one here, as nothing does in their code: the cosines
 * say how far two SAEs agree latent by latent, which two seeds do not.
 *
 * <p><b>Source</b>: FaithfulSAE's {@code feat_match.py} (encoder and decoder neurons, top 4).
 *
 * @param directions W_dec or W_enc
 * @param dIn number of neurons
 * @param ranksA cosines of a's neurons with their best, second, third and fourth in b, as far as
 *     there are so many
 * @param ranksB the same for b's neurons in a
 */
public record SharedNeurons(
    Directions directions,
    int dIn,
    List<SharedFeatures.Rank> ranksA,
    List<SharedFeatures.Rank> ranksB) {

  /** Copies the lists. */
  public SharedNeurons {
    ranksA = List.copyOf(ranksA);
    ranksB = List.copyOf(ranksB);
  }
}
