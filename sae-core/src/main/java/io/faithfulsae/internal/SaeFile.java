package io.faithfulsae.internal;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Checksum;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * An SAE on disk, in any layout that can be read: its configuration, and where its weights are.
 *
 * @param config the configuration, after what is folded into the weights
 * @param metadata under SAELens' names; values that are not strings as JSON
 * @param configuredBy the file that the configuration is from, for messages
 * @param weights the file with the weights
 * @param opener opens it
 * @param names what the tensors are called in it
 * @param folding what to fold into the weights
 * @param checksum CRC-32C of the weights file; null if nothing says it
 */
record SaeFile(
    SaeConfig config,
    Map<String, String> metadata,
    String configuredBy,
    Path weights,
    Opener opener,
    Names names,
    Folding folding,
    @Nullable String checksum) {

  /** Opens a file of weights. */
  @FunctionalInterface
  interface Opener {
    TensorFile open(Path weights) throws IOException;
  }

  /**
   * Names of the tensors.
   *
   * @param encoder name of the encoder
   * @param encoderByLatent whether it is {@code [d_sae, d_in]}, not {@code [d_in, d_sae]}
   * @param decoder name of the decoder
   * @param decoderByLatent whether it is {@code [d_sae, d_in]}, not {@code [d_in, d_sae]}
   * @param encoderBias {@code [d_sae]}
   * @param decoderBias {@code [d_in]}
   * @param others tensors that may be there and change nothing
   */
  record Names(
      String encoder,
      boolean encoderByLatent,
      String decoder,
      boolean decoderByLatent,
      String encoderBias,
      String decoderBias,
      Set<String> others) {}

  /**
   * What is folded into the weights as they are read.
   *
   * @param decoderNorm whether the encoder is multiplied by the decoder's norms (SAELens: {@code
   *     rescale_acts_by_decoder_norm})
   * @param activations factor on the activations that the weights were trained on; 1 for none
   * @param biases factor on both biases (dictionary_learning: {@code scale_biases}); 1 for none
   */
  record Folding(boolean decoderNorm, double activations, double biases) {
    static final Folding NONE = new Folding(false, 1, 1);

    boolean isNone() {
      return equals(NONE);
    }
  }

  /**
   * Opens the weights.
   *
   * @throws SaeFormatException if they were changed after the configuration was written
   */
  TensorFile openWeights() throws IOException {
    if (checksum != null) {
      Checksum.check(weights, checksum, SaeFolder.CONFIG_FILE);
    }
    return opener.open(weights);
  }

  /**
   * Compares the configuration with the tensors' shapes.
   *
   * @throws SaeFormatException if they do not match, or there is a tensor with another meaning
   */
  SaeFile checked() throws IOException {
    try (TensorFile file = opener.open(weights)) {
      Set<String> known =
          new TreeSet<>(
              List.of(names.encoder, names.encoderBias, names.decoder, names.decoderBias));
      for (StoredTensor tensor : file.tensors().values()) {
        String name = tensor.name();
        if (!known.contains(name) && !names.others.contains(name) && !isUnitFactor(tensor)) {
          throw new SaeFormatException(
              weights,
              name,
              Expected.message("the tensors " + known + " only", "another one", "remove it"));
        }
      }
      checkMatrix(file, names.encoder, names.encoderByLatent);
      checkMatrix(file, names.decoder, names.decoderByLatent);
      file.checkShape(names.encoderBias, configuredBy, (long) config.dSae());
      file.checkShape(names.decoderBias, configuredBy, (long) config.dIn());
    }
    return this;
  }

  private void checkMatrix(TensorFile file, String name, boolean byLatent) throws IOException {
    long d = config.dIn();
    long f = config.dSae();
    file.checkShape(name, configuredBy, byLatent ? f : d, byLatent ? d : f);
  }

  /** Older SAELens files may hold a factor that was never trained. */
  private static boolean isUnitFactor(StoredTensor tensor) throws IOException {
    if (!tensor.name().equals("scaling_factor") || tensor.shape().size() != 1) {
      return false;
    }
    float[] factor = new float[Math.toIntExact(tensor.elements())];
    tensor.readVector(0, FloatBuffer.wrap(factor));
    for (float value : factor) {
      if (!(Math.abs(value - 1) <= 1e-5)) {
        return false;
      }
    }
    return true;
  }
}
