package io.faithfulsae.internal;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.Checksum;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.HashSet;
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
    @Nullable String checksum)
    implements SaeFormat.Stored {

  /** Opens a file of weights. */
  @FunctionalInterface
  interface Opener {
    TensorFile open(Path weights) throws IOException;
  }

  /**
   * A tensor in the file.
   *
   * @param name its name there
   * @param transposed whether it is a matrix that a backend has the other way round
   */
  record Stored(String name, boolean transposed) {}

  /**
   * Names of the tensors.
   *
   * @param tensors where those of a backend are; zero if they are not here
   * @param others tensors that may be there and change nothing
   */
  record Names(Map<Tensor, Stored> tensors, Set<String> others) {

    /**
     * Those that every SAE has.
     *
     * @param encoderByLatent whether the encoder is {@code [d_sae, d_in]}
     * @param decoderByLatent whether the decoder is {@code [d_sae, d_out]}
     */
    static Names of(
        String encoder,
        boolean encoderByLatent,
        String decoder,
        boolean decoderByLatent,
        String encoderBias,
        String decoderBias) {
      Map<Tensor, Stored> tensors = new EnumMap<>(Tensor.class);
      tensors.put(Tensor.W_ENC, new Stored(encoder, !encoderByLatent));
      tensors.put(Tensor.W_DEC, new Stored(decoder, !decoderByLatent));
      tensors.put(Tensor.B_ENC, new Stored(encoderBias, false));
      tensors.put(Tensor.B_DEC, new Stored(decoderBias, false));
      return new Names(tensors, Set.of());
    }

    /** With one more tensor. */
    Names with(Tensor tensor, String name, boolean transposed) {
      Map<Tensor, Stored> more = new EnumMap<>(tensors);
      more.put(tensor, new Stored(name, transposed));
      return new Names(more, others);
    }

    /** With one more vector. */
    Names with(Tensor tensor, String name) {
      return with(tensor, name, false);
    }

    /** With tensors that may be there and change nothing. */
    Names ignoring(Set<String> names) {
      Set<String> all = new HashSet<>(others);
      all.addAll(names);
      return new Names(tensors, all);
    }
  }

  /**
   * What is folded into the weights as they are read.
   *
   * @param decoderNorm whether the encoder is multiplied by the decoder's norms, and the decoder
   *     divided (SAELens: {@code rescale_acts_by_decoder_norm})
   * @param activations factor on the activations that the weights were trained on; 1 for none
   * @param biases factor on all biases and thresholds (dictionary_learning: {@code scale_biases});
   *     1 for none
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

  @Override
  public void readWeights(BackendSae into) throws IOException {
    WeightsReader.read(this, into);
  }

  /** The tensors to read: the configuration says a BatchTopK's one threshold. */
  Map<Tensor, Stored> toRead() {
    Map<Tensor, Stored> all = new EnumMap<>(names.tensors);
    all.keySet().retainAll(config.shape().tensors());
    if (config.activation() instanceof BatchTopK) {
      all.remove(Tensor.THRESHOLD);
    }
    return all;
  }

  /**
   * Compares the configuration with the tensors' shapes.
   *
   * @throws SaeFormatException if they do not match, or there is a tensor with another meaning
   */
  SaeFile checked() throws IOException {
    Map<Tensor, Stored> toRead = toRead();
    try (TensorFile file = opener.open(weights)) {
      Set<String> known = new TreeSet<>();
      toRead.values().forEach(stored -> known.add(stored.name));
      for (StoredTensor tensor : file.tensors().values()) {
        String name = tensor.name();
        if (!known.contains(name) && !names.others.contains(name) && !isUnitFactor(tensor)) {
          throw new SaeFormatException(
              weights,
              name,
              Expected.message("the tensors " + known + " only", "another one", "remove it"));
        }
      }
      for (Map.Entry<Tensor, Stored> each : toRead.entrySet()) {
        checkShape(file, each.getKey(), each.getValue());
      }
    }
    return this;
  }

  private void checkShape(TensorFile file, Tensor tensor, Stored stored) throws IOException {
    long in = config.dIn();
    long out = config.dOut();
    long latents = config.dSae();
    switch (tensor) {
      case W_ENC -> checkMatrix(file, stored, latents, in);
      case W_DEC -> checkMatrix(file, stored, latents, out);
      case W_SKIP -> checkMatrix(file, stored, out, in);
      case B_DEC -> file.checkShape(stored.name, configuredBy, out);
      case B_ENC, THRESHOLD, R_MAG, B_MAG -> file.checkShape(stored.name, configuredBy, latents);
    }
  }

  private void checkMatrix(TensorFile file, Stored stored, long rows, long columns)
      throws IOException {
    file.checkShape(
        stored.name,
        configuredBy,
        stored.transposed ? columns : rows,
        stored.transposed ? rows : columns);
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
