package io.faithfulsae.models.spi;

import io.faithfulsae.models.spi.Graph.Value;
import java.io.IOException;
import java.util.List;

/**
 * How one model computes. The residual stream is flat, {@code [rows, dModel]} with one row a token
 * of any sequence, so that everything but attention is the same for whole sequences and for one
 * step of decoding.
 */
public interface Architecture {

  /**
   * A model's sizes.
   *
   * @param layers number of blocks
   * @param dModel width of the residual stream
   * @param vocabularySize number of tokens
   * @param contextLength longest sequence
   * @param heads query heads
   * @param keyValueHeads key and value heads, a divisor of {@code heads}
   * @param headDim width of a head
   */
  record Dimensions(
      int layers,
      int dModel,
      int vocabularySize,
      int contextLength,
      int heads,
      int keyValueHeads,
      int headDim) {
    /** Width of all query heads together. */
    public long queryWidth() {
      return (long) heads * headDim;
    }

    /** Width of all key heads together, and of all value heads. */
    public long keyValueWidth() {
      return (long) keyValueHeads * headDim;
    }
  }

  /**
   * How products of query and key become weights: {@code softmax(softcap · tanh(scale · qk /
   * softcap))} over the tokens that are seen.
   *
   * @param scale what the products are multiplied by
   * @param window tokens that are seen, the token itself and those right before it; 0: all
   * @param softcap bound of the scores (Gemma 2); 0: none
   */
  record Scores(float scale, int window, float softcap) {
    /** Scores that are scaled and nothing else. */
    public static Scores scaled(double scale) {
      return new Scores((float) scale, 0, 0);
    }
  }

  /** Causal attention among the tokens of each sequence; how depends on what the graph is for. */
  interface Attention {
    /**
     * Attends.
     *
     * @param layer the block
     * @param query {@code [rows, heads * headDim]}
     * @param key {@code [rows, keyValueHeads * headDim]}
     * @param value as the key
     * @param scores from products to weights
     * @return {@code [rows, heads * headDim]}
     */
    Value apply(int layer, Value query, Value key, Value value, Scores scores);
  }

  /** The sizes. */
  Dimensions dimensions();

  /**
   * The residual stream that enters block 0.
   *
   * @param tokens {@code [rows]} int64
   * @param positions {@code [rows]} int64, each token's place in its sequence
   */
  Value embed(Graph graph, Value tokens, Value positions) throws IOException;

  /**
   * The sites of every block that {@link #block} names with {@link Graph#site}, in the order in
   * which they are computed.
   */
  default List<String> sites() {
    return List.of(
        Graph.RESID_PRE, Graph.ATTN_OUT, Graph.RESID_MID, Graph.MLP_OUT, Graph.RESID_POST);
  }

  /**
   * One block: residual stream in, residual stream out, both {@code [rows, dModel]}. What enters
   * and leaves it is named by the caller; {@code hook_attn_out}, {@code hook_resid_mid} and {@code
   * hook_mlp_out} are named here.
   */
  Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
      throws IOException;

  /** From the residual stream behind the last block to logits {@code [rows, vocabularySize]}. */
  Value unembed(Graph graph, Value residual) throws IOException;
}
