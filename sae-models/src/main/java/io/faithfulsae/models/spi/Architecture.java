package io.faithfulsae.models.spi;

import io.faithfulsae.models.spi.Graph.Value;
import java.io.IOException;
import java.util.List;

/**
 * The computation of one model. The residual stream is flat, {@code [rows, dModel]} with one row
 * per token of any sequence, so that everything but attention is the same for whole sequences and
 * for a decoding step.
 */
public interface Architecture {

  /**
   * A model's sizes.
   *
   * @param layers number of blocks
   * @param dModel width of the residual stream
   * @param vocabularySize number of tokens
   * @param contextLength maximum sequence length
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
    /** Total width of the query heads. */
    public long queryWidth() {
      return (long) heads * headDim;
    }

    /** Total width of the key heads, equal to that of the value heads. */
    public long keyValueWidth() {
      return (long) keyValueHeads * headDim;
    }
  }

  /**
   * How attention scores become weights: {@code softmax(softcap · tanh(scale · qk / softcap))} over
   * the visible tokens.
   *
   * @param scale factor of the dot products
   * @param window visible tokens, the token itself and those just before it; 0 for all
   * @param softcap bound of the scores (Gemma 2); 0 for none
   */
  record Scores(float scale, int window, float softcap) {
    /** Scores that are only scaled. */
    public static Scores scaled(double scale) {
      return new Scores((float) scale, 0, 0);
    }
  }

  /** Causal attention within each sequence; the implementation depends on the graph. */
  interface Attention {
    /**
     * Computes attention.
     *
     * @param layer the block
     * @param query {@code [rows, heads * headDim]}
     * @param key {@code [rows, keyValueHeads * headDim]}
     * @param value as {@code key}
     * @param scores how scores become weights
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
   * @param positions {@code [rows]} int64, each token's position in its sequence
   */
  Value embed(Graph graph, Value tokens, Value positions) throws IOException;

  /**
   * The sites of every block that {@link #block} registers with {@link Graph#site}, in order of
   * computation; before them {@link Graph#EMBED}, if {@link #embed} registers it.
   */
  default List<String> sites() {
    return List.of(
        Graph.RESID_PRE, Graph.ATTN_OUT, Graph.RESID_MID, Graph.MLP_OUT, Graph.RESID_POST);
  }

  /**
   * Width of the activations at a site. A family that registers {@link Graph#MLP_POST} overrides
   * this.
   */
  default int width(String site) {
    return site.equals(Graph.ATTN_Z)
        ? Math.toIntExact(dimensions().queryWidth())
        : dimensions().dModel();
  }

  /**
   * Builds a block: residual stream in, residual stream out, both {@code [rows, dModel]}. The
   * caller registers its input and output as sites; the block registers {@code hook_attn_out},
   * {@code hook_resid_mid} and {@code hook_mlp_out}, and the others that {@link #sites} lists.
   */
  Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
      throws IOException;

  /** From the residual stream after the last block to logits {@code [rows, vocabularySize]}. */
  Value unembed(Graph graph, Value residual) throws IOException;
}
