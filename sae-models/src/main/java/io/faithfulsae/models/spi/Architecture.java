package io.faithfulsae.models.spi;

import io.faithfulsae.models.spi.Graph.Value;
import java.io.IOException;

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

  /** Causal attention among the tokens of each sequence; how depends on what the graph is for. */
  interface Attention {
    /**
     * Attends.
     *
     * @param layer the block
     * @param query {@code [rows, heads * headDim]}
     * @param key {@code [rows, keyValueHeads * headDim]}
     * @param value as the key
     * @param scale what the products of query and key are multiplied by
     * @return {@code [rows, heads * headDim]}
     */
    Value apply(int layer, Value query, Value key, Value value, float scale);
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

  /** One block: residual stream in, residual stream out, both {@code [rows, dModel]}. */
  Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
      throws IOException;

  /** From the residual stream behind the last block to logits {@code [rows, vocabularySize]}. */
  Value unembed(Graph graph, Value residual) throws IOException;
}
