package io.faithfulsae.metrics;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A causal language model small enough to compute by hand: x_t = embedding of token t; each block
 * adds ReLU((mean of x_0 … x_t) W); logits = x U. The golden script has the same model in PyTorch.
 */
class TinyModel implements LanguageModel {
  private final int dModel;
  private final int vocabulary;
  private final float[] embedding; // [vocabulary, dModel]
  private final List<float[]> blocks; // each [dModel, dModel]
  private final float[] unembedding; // [dModel, vocabulary]

  TinyModel(int dModel, float[] embedding, List<float[]> blocks, float[] unembedding) {
    this.dModel = dModel;
    this.vocabulary = embedding.length / dModel;
    this.embedding = embedding;
    this.blocks = blocks;
    this.unembedding = unembedding;
  }

  /** A model with a single no-op block, for tests that only need embeddings. */
  static TinyModel ofEmbedding(int dModel, float[] embedding) {
    float[] nothing = new float[dModel * dModel];
    return new TinyModel(dModel, embedding, List.of(nothing), new float[embedding.length]);
  }

  @Override
  public String name() {
    return "tiny";
  }

  @Override
  public int dModel() {
    return dModel;
  }

  @Override
  public int vocabularySize() {
    return vocabulary;
  }

  @Override
  public int contextLength() {
    return 64;
  }

  @Override
  public int bosToken() {
    return 0;
  }

  @Override
  public int eosToken() {
    return 0;
  }

  @Override
  public List<HookPoint> hookPoints() {
    List<HookPoint> hooks = new ArrayList<>();
    for (int layer = 0; layer < blocks.size(); layer++) {
      hooks.add(HookPoint.residPre(layer));
    }
    return hooks;
  }

  @Override
  public void activations(HookPoint hook, int[][] tokens, FloatBuffer into) {
    if (!hookPoints().contains(hook)) {
      throw new IllegalArgumentException("expected one of " + hookPoints() + ", got " + hook);
    }
    int longest = Arrays.stream(tokens).mapToInt(sequence -> sequence.length).max().orElse(0);
    for (int s = 0; s < tokens.length; s++) {
      int length = tokens[s].length;
      float[][] x = new float[length][dModel];
      for (int t = 0; t < length; t++) {
        System.arraycopy(embedding, tokens[s][t] * dModel, x[t], 0, dModel);
      }
      for (int layer = 0; layer < hook.layer(); layer++) {
        block(x, blocks.get(layer));
      }
      for (int t = 0; t < longest; t++) {
        into.put(
            into.position() + (s * longest + t) * dModel, t < length ? x[t] : new float[dModel]);
      }
    }
  }

  @Override
  public void logits(int[][] tokens, FloatBuffer into) {
    FloatBuffer x = FloatBuffer.allocate(tokens.length * tokens[0].length * dModel);
    activations(HookPoint.residPre(0), tokens, x);
    logitsFrom(HookPoint.residPre(0), x, tokens.length, tokens[0].length, into);
  }

  @Override
  public void logitsFrom(
      HookPoint hook, FloatBuffer activations, int batch, int length, FloatBuffer into) {
    for (int s = 0; s < batch; s++) {
      float[][] x = new float[length][dModel];
      for (int t = 0; t < length; t++) {
        activations.get(activations.position() + (s * length + t) * dModel, x[t]);
      }
      for (int layer = hook.layer(); layer < blocks.size(); layer++) {
        block(x, blocks.get(layer));
      }
      for (int t = 0; t < length; t++) {
        into.put(into.position() + (s * length + t) * vocabulary, times(x[t], unembedding));
      }
    }
  }

  @Override
  public void close() {}

  private void block(float[][] x, float[] weights) {
    double[] sum = new double[dModel];
    for (int t = 0; t < x.length; t++) {
      float[] mean = new float[dModel];
      for (int i = 0; i < dModel; i++) {
        sum[i] += x[t][i];
        mean[i] = (float) (sum[i] / (t + 1));
      }
      float[] update = times(mean, weights);
      for (int i = 0; i < dModel; i++) {
        x[t][i] += Math.max(0, update[i]);
      }
    }
  }

  private static float[] times(float[] row, float[] matrix) {
    int columns = matrix.length / row.length;
    float[] out = new float[columns];
    for (int j = 0; j < columns; j++) {
      double sum = 0;
      for (int i = 0; i < row.length; i++) {
        sum += (double) row[i] * matrix[i * columns + j];
      }
      out[j] = (float) sum;
    }
    return out;
  }
}
