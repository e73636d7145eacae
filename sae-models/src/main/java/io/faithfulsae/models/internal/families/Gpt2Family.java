package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Activation;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Architecture.Scores;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Weights;
import java.util.List;
import java.util.function.IntFunction;

/**
 * GPT-2: learned positions, layer norm before attention and MLP, a fused projection for query, key
 * and value, weights stored {@code [in, out]}.
 */
public final class Gpt2Family implements ModelFamily {

  /** For the service loader. */
  public Gpt2Family() {}

  @Override
  public String modelType() {
    return "gpt2";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    if (config.flag("add_cross_attention", false)) {
      throw config.problem("add_cross_attention", "false");
    }
    int width = config.number("n_embd");
    int heads = config.number("n_head");
    if (width % heads != 0) {
      throw config.problem("n_head", "a divisor of n_embd = " + width);
    }
    return new Gpt2(
        new Architecture.Dimensions(
            config.number("n_layer"),
            width,
            config.number("vocab_size"),
            config.number("n_positions"),
            heads,
            heads,
            width / heads),
        config.number("n_inner", 4 * width),
        (float) config.real("layer_norm_epsilon", 1e-5),
        Activation.of(config, "activation_function", "gelu_new"),
        scores(config, width / heads),
        config.flag("tie_word_embeddings", true),
        weights.has("transformer.wte.weight") ? "transformer." : "");
  }

  private static IntFunction<Scores> scores(ModelConfig config, int headDim)
      throws SaeFormatException {
    double scale = config.flag("scale_attn_weights", true) ? 1 / Math.sqrt(headDim) : 1;
    return config.flag("scale_attn_by_inverse_layer_idx", false)
        ? layer -> Scores.scaled(scale / (layer + 1))
        : layer -> Scores.scaled(scale);
  }

  private record Gpt2(
      Dimensions dimensions,
      int inner,
      float epsilon,
      Activation activation,
      IntFunction<Scores> scores,
      boolean tied,
      String prefix)
      implements Architecture {

    @Override
    public List<String> sites() {
      return Graph.SITES;
    }

    @Override
    public int width(String site) {
      return site.equals(Graph.MLP_POST) ? inner : Architecture.super.width(site);
    }

    @Override
    public Value embed(Graph graph, Value tokens, Value positions) throws SaeFormatException {
      long width = dimensions.dModel();
      Value embedded =
          graph.lookup(prefix + "wte.weight", tokens, dimensions.vocabularySize(), width);
      return graph.add(
          graph.site(0, Graph.EMBED, embedded),
          graph.lookup(prefix + "wpe.weight", positions, dimensions.contextLength(), width));
    }

    @Override
    public Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
        throws SaeFormatException {
      String name = prefix + "h." + layer + ".";
      long width = dimensions.dModel();
      Value normed = norm(graph, residual, name + "ln_1");
      List<Value> qkv =
          graph.nodes(
              "Split",
              3,
              List.of(linear(graph, normed, name + "attn.c_attn", width, 3 * width)),
              Attribute.of("axis", 1),
              Attribute.of("num_outputs", 3));
      Value mixed = attention.apply(layer, qkv.get(0), qkv.get(1), qkv.get(2), scores.apply(layer));
      Value attended =
          linear(graph, graph.site(layer, Graph.ATTN_Z, mixed), name + "attn.c_proj", width, width);
      Value middle =
          graph.site(
              layer,
              Graph.RESID_MID,
              graph.add(residual, graph.site(layer, Graph.ATTN_OUT, attended)));
      Value hidden =
          linear(graph, norm(graph, middle, name + "ln_2"), name + "mlp.c_fc", width, inner);
      Value neurons = graph.site(layer, Graph.MLP_POST, activation.apply(graph, hidden));
      Value added = linear(graph, neurons, name + "mlp.c_proj", inner, width);
      return graph.add(middle, graph.site(layer, Graph.MLP_OUT, added));
    }

    @Override
    public Value unembed(Graph graph, Value residual) throws SaeFormatException {
      String head = tied ? prefix + "wte.weight" : "lm_head.weight";
      return graph.multiply(
          norm(graph, residual, prefix + "ln_f"),
          graph.weight(head, dimensions.vocabularySize(), dimensions.dModel()),
          true);
    }

    private Value norm(Graph graph, Value x, String name) throws SaeFormatException {
      long width = dimensions.dModel();
      return graph.node(
          "LayerNormalization",
          List.of(x, graph.weight(name + ".weight", width), graph.weight(name + ".bias", width)),
          Attribute.of("epsilon", epsilon));
    }

    private static Value linear(Graph graph, Value x, String name, long in, long out)
        throws SaeFormatException {
      return graph.multiply(
          x, graph.weight(name + ".weight", in, out), false, graph.weight(name + ".bias", out));
    }
  }
}
