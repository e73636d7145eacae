package io.faithfulsae.models.internal.families;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Activation;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Graph;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import io.faithfulsae.models.spi.ModelConfig;
import io.faithfulsae.models.spi.ModelFamily;
import io.faithfulsae.models.spi.Rotary;
import io.faithfulsae.models.spi.Weights;
import java.util.List;

/**
 * GPT-NeoX, the family of Pythia: rotary positions on part of each head, a fused projection for
 * query, key and value, and attention and MLP in parallel (or in sequence), each with its own layer
 * norm.
 */
public final class GptNeoxFamily implements ModelFamily {

  /** For the service loader. */
  public GptNeoxFamily() {}

  @Override
  public String modelType() {
    return "gpt_neox";
  }

  @Override
  public Architecture architecture(ModelConfig config, Weights weights) throws SaeFormatException {
    int width = config.number("hidden_size");
    int heads = config.number("num_attention_heads");
    if (width % heads != 0) {
      throw config.problem("num_attention_heads", "a divisor of hidden_size = " + width);
    }
    int headDim = width / heads;
    return new GptNeox(
        new Architecture.Dimensions(
            config.number("num_hidden_layers"),
            width,
            config.number("vocab_size"),
            config.number("max_position_embeddings", 2048),
            heads,
            heads,
            headDim),
        new Mlp(config.number("intermediate_size"), Activation.of(config, "hidden_act", "gelu")),
        (float) config.real("layer_norm_eps", 1e-5),
        rotary(config, headDim),
        config.flag("attention_bias", true),
        config.flag("use_parallel_residual", true),
        config.flag("tie_word_embeddings", false));
  }

  /** Checkpoints from before transformers 5 use other names for two of the options. */
  private static Rotary rotary(ModelConfig config, int headDim) throws SaeFormatException {
    return config.has("rope_parameters")
        ? Rotary.of(config, headDim, 10_000)
        : Rotary.of(
            config,
            "rope_scaling",
            config.json("rope_scaling"),
            headDim,
            config.real("rotary_pct", 0.25),
            config.real("rotary_emb_base", 10_000));
  }

  private record Mlp(int width, Activation activation) {}

  private record GptNeox(
      Dimensions dimensions,
      Mlp mlp,
      float epsilon,
      Rotary rotary,
      boolean attentionBias,
      boolean parallel,
      boolean tied)
      implements Architecture {

    @Override
    public List<String> sites() {
      return Graph.SITES.stream()
          .filter(site -> !(parallel && site.equals(Graph.RESID_MID)))
          .toList();
    }

    @Override
    public int width(String site) {
      return site.equals(Graph.MLP_POST) ? mlp.width() : Architecture.super.width(site);
    }

    @Override
    public Value embed(Graph graph, Value tokens, Value positions) throws SaeFormatException {
      Value embedded =
          graph.lookup(
              "gpt_neox.embed_in.weight", tokens, dimensions.vocabularySize(), dimensions.dModel());
      return graph.site(0, Graph.EMBED, embedded);
    }

    @Override
    public Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
        throws SaeFormatException {
      String name = "gpt_neox.layers." + layer + ".";
      Value attended =
          attend(
              graph,
              layer,
              norm(graph, residual, name + "input_layernorm"),
              positions,
              attention,
              name + "attention.");
      Value middle = graph.add(residual, graph.site(layer, Graph.ATTN_OUT, attended));
      if (!parallel) {
        middle = graph.site(layer, Graph.RESID_MID, middle);
      }
      Value hidden =
          linear(
              graph,
              norm(graph, parallel ? residual : middle, name + "post_attention_layernorm"),
              name + "mlp.dense_h_to_4h",
              dimensions.dModel(),
              mlp.width(),
              true);
      Value added =
          linear(
              graph,
              graph.site(layer, Graph.MLP_POST, mlp.activation().apply(graph, hidden)),
              name + "mlp.dense_4h_to_h",
              mlp.width(),
              dimensions.dModel(),
              true);
      return graph.add(middle, graph.site(layer, Graph.MLP_OUT, added));
    }

    @Override
    public Value unembed(Graph graph, Value residual) throws SaeFormatException {
      return graph.multiply(
          norm(graph, residual, "gpt_neox.final_layer_norm"),
          graph.weight(
              tied ? "gpt_neox.embed_in.weight" : "embed_out.weight",
              dimensions.vocabularySize(),
              dimensions.dModel()),
          true);
    }

    private Value attend(
        Graph graph, int layer, Value x, Value positions, Attention attention, String name)
        throws SaeFormatException {
      long width = dimensions.dModel();
      int heads = dimensions.heads();
      // The query, key and value of each head are contiguous.
      Value together =
          graph.reshape(
              linear(graph, x, name + "query_key_value", width, 3 * width, attentionBias),
              -1,
              heads,
              3,
              dimensions.headDim());
      List<Value> parts =
          graph.nodes(
              "Split",
              3,
              List.of(together),
              Attribute.of("axis", 2),
              Attribute.of("num_outputs", 3));
      Value query = graph.reshape(parts.get(0), -1, width);
      Value key = graph.reshape(parts.get(1), -1, width);
      Value value = graph.reshape(parts.get(2), -1, width);
      Value mixed =
          attention.apply(
              layer,
              rotary.apply(graph, query, positions, heads),
              rotary.apply(graph, key, positions, heads),
              value,
              Scores.scaled(1 / Math.sqrt(dimensions.headDim())));
      Value z = graph.site(layer, Graph.ATTN_Z, mixed);
      return linear(graph, z, name + "dense", width, width, attentionBias);
    }

    private Value norm(Graph graph, Value x, String name) throws SaeFormatException {
      long width = dimensions.dModel();
      return graph.node(
          "LayerNormalization",
          List.of(x, graph.weight(name + ".weight", width), graph.weight(name + ".bias", width)),
          Attribute.of("epsilon", epsilon));
    }

    private static Value linear(Graph graph, Value x, String name, long in, long out, boolean bias)
        throws SaeFormatException {
      Value weight = graph.weight(name + ".weight", out, in);
      return bias
          ? graph.multiply(x, weight, true, graph.weight(name + ".bias", out))
          : graph.multiply(x, weight, true);
    }
  }
}
