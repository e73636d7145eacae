package io.faithfulsae;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A causal language model whose residual stream can be read and replaced, such as {@code OnnxModel}
 * in sae-models.
 *
 * <p>Token batches are {@code int[batch][]}; {@code length} is that of the longest sequence.
 * Shorter sequences, including empty ones, get the same results as on their own, padded with zeros.
 * Buffers are direct or heap, float32, row-major, accessed from their position, which does not
 * change. <b>Threads</b>: one call at a time. <b>Closed by</b> whoever opened it.
 */
public interface LanguageModel extends AutoCloseable {

  /** A short name, for run names and reports. */
  String name();

  /** Width of the residual stream. */
  int dModel();

  /** Number of tokens in the vocabulary. */
  int vocabularySize();

  /** Length of the longest sequence that it accepts. */
  int contextLength();

  /** The token that starts a text (the tokenizer's BOS, or its EOS if it has no BOS). */
  int bosToken();

  /** The token that ends a text. */
  int eosToken();

  /** The model's hook points, in order. */
  List<HookPoint> hookPoints();

  /** Number of blocks that have a hook point. */
  default int layers() {
    return 1 + hookPoints().stream().mapToInt(HookPoint::layer).max().orElse(-1);
  }

  /**
   * Width of the activations at a hook point: {@link #dModel()}, unless the model says otherwise.
   */
  default int width(HookPoint hook) {
    return dModel();
  }

  /**
   * Computes the activations at a hook point; later blocks do not run.
   *
   * @param into <b>Shape</b> {@code [batch, length, width(hook)]}. Modified.
   * @throws IllegalArgumentException if the hook is not among {@link #hookPoints()} (the message
   *     lists them), there is no sequence or none with a token, one is too long, or a token is
   *     outside the vocabulary
   */
  void activations(HookPoint hook, int[][] tokens, FloatBuffer into);

  /**
   * Computes the activations at several hook points. A model that can do so in one pass overrides
   * this; here there is one for each.
   *
   * @param into one for each hook, as in {@link #activations(HookPoint, int[][], FloatBuffer)}.
   *     Modified.
   * @throws IllegalArgumentException as there
   */
  default void activations(List<HookPoint> hooks, int[][] tokens, List<FloatBuffer> into) {
    for (int i = 0; i < hooks.size(); i++) {
      activations(hooks.get(i), tokens, into.get(i));
    }
  }

  /**
   * Computes the activations at a hook point and leaves them on the model's device. If that is the
   * host, computes nothing and returns empty.
   *
   * @throws IllegalArgumentException as {@link #activations(HookPoint, int[][], FloatBuffer)}
   */
  default Optional<DeviceActivations> deviceActivations(HookPoint hook, int[][] tokens) {
    return Optional.empty();
  }

  /**
   * Whether {@link #deviceActivations} returns activations that this backend can read on its
   * device.
   */
  default boolean sharesDeviceWith(Backend backend) {
    return false;
  }

  /**
   * Computes next-token logits.
   *
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   */
  void logits(int[][] tokens, FloatBuffer into);

  /**
   * Computes next-token logits with the activations at some hook points replaced; the rest of the
   * model runs on the replaced values.
   *
   * @param replaced <b>Shape</b> {@code [batch, length, width(hook)]} each. Not modified.
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   * @throws UnsupportedOperationException if the model cannot replace these
   */
  default void logits(int[][] tokens, Map<HookPoint, FloatBuffer> replaced, FloatBuffer into) {
    if (replaced.isEmpty()) {
      logits(tokens, into);
    } else if (replaced.size() == 1) {
      Map.Entry<HookPoint, FloatBuffer> only = replaced.entrySet().iterator().next();
      logitsFrom(only.getKey(), only.getValue(), tokens.length, tokens[0].length, into);
    } else {
      throw new UnsupportedOperationException(
          Expected.message(
              "one hook point", replaced.keySet(), name() + " replaces one at a time"));
    }
  }

  /**
   * Runs the rest of the model from given activations at a hook point. Works for the residual
   * stream only, since later blocks see nothing else.
   *
   * @param activations <b>Shape</b> {@code [batch, length, width(hook)]}. Not modified.
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   */
  void logitsFrom(HookPoint hook, FloatBuffer activations, int batch, int length, FloatBuffer into);

  @Override
  void close();
}
