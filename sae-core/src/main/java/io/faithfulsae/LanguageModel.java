package io.faithfulsae;

import java.nio.FloatBuffer;
import java.util.List;

/**
 * A causal language model whose residual stream can be read and replaced. {@code OnnxModel} in
 * sae-models is one.
 *
 * <p>Token batches are {@code int[batch][length]}, all of one length. Buffers are direct or heap,
 * float32, row-major, written from their position, which is not changed. <b>Threads</b>: one call
 * at a time. <b>Closed by</b> who opened it.
 */
public interface LanguageModel extends AutoCloseable {

  /** A short name, for run names and reports. */
  String name();

  /** Width of the residual stream. */
  int dModel();

  /** Number of tokens in the vocabulary. */
  int vocabularySize();

  /** The longest sequence it takes. */
  int contextLength();

  /** The token that begins a text (the tokenizer's BOS, or its EOS where it has none). */
  int bosToken();

  /** The token that ends a text. */
  int eosToken();

  /** The hook points it has, in order. */
  List<HookPoint> hookPoints();

  /**
   * Computes the activations at a hook point; blocks behind it do not run.
   *
   * @param into <b>Shape</b> {@code [batch, length, dModel]}. Modified.
   * @throws IllegalArgumentException if the hook is not among {@link #hookPoints()} (the message
   *     lists them), a sequence is too long or of another length, or a token is outside the
   *     vocabulary
   */
  void activations(HookPoint hook, int[][] tokens, FloatBuffer into);

  /**
   * Computes next-token logits.
   *
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   */
  void logits(int[][] tokens, FloatBuffer into);

  /**
   * Runs the model from a hook point on, with given activations there.
   *
   * @param activations <b>Shape</b> {@code [batch, length, dModel]}. Not modified.
   * @param into <b>Shape</b> {@code [batch, length, vocabularySize]}. Modified.
   */
  void logitsFrom(HookPoint hook, FloatBuffer activations, int batch, int length, FloatBuffer into);

  @Override
  void close();
}
