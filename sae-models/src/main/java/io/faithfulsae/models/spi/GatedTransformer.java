package io.faithfulsae.models.spi;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Graph.Attribute;
import io.faithfulsae.models.spi.Graph.Value;
import java.util.List;
import java.util.function.IntFunction;

/**
 * What Llama, Mistral, Qwen and Gemma share: rotary positions, RMS norm before attention and MLP,
 * grouped key and value heads, a gated MLP, weights stored {@code [out, in]} under Llama's names.
 * Families specify the differences.
 */
public final class GatedTransformer implements Architecture {
  private static final String EMBEDDING = "embed_tokens.weight";

  private final Dimensions dimensions;
  private final int inner;
  private final float epsilon;
  private final boolean tied;
  private Activation activation;
  private IntFunction<Rotary> rotary;
  private IntFunction<Scores> scores;
  private boolean queryKeyValueBias;
  private boolean outputBias;
  private boolean mlpBias;
  private boolean queryKeyNorms;
  private boolean postNorms;
  private float normOffset;
  private float embeddingScale = 1;
  private float logitSoftcap;
  private String body = "model.";
  private String head = "lm_head.weight";

  private GatedTransformer(
      Dimensions dimensions,
      int inner,
      float epsilon,
      boolean tied,
      Activation activation,
      Rotary rotary) {
    this.dimensions = dimensions;
    this.inner = inner;
    this.epsilon = epsilon;
    this.tied = tied;
    this.activation = activation;
    this.rotary = layer -> rotary;
    Scores plain = Scores.scaled(1 / Math.sqrt(dimensions.headDim()));
    this.scores = layer -> plain;
  }

  /**
   * Reads the fields that they share; everything else is as in Llama without biases.
   *
   * @param headDim default for {@code head_dim}; 0 for {@code hidden_size / num_attention_heads}
   * @param tied default for {@code tie_word_embeddings}
   */
  public static GatedTransformer of(ModelConfig config, int headDim, boolean tied)
      throws SaeFormatException {
    int width = config.number("hidden_size");
    int heads = config.number("num_attention_heads");
    int keyValueHeads = config.number("num_key_value_heads", heads);
    int perHead = config.number("head_dim", headDim == 0 ? Math.max(1, width / heads) : headDim);
    if (heads % keyValueHeads != 0) {
      throw config.problem("num_key_value_heads", "a divisor of num_attention_heads = " + heads);
    }
    if (perHead % 2 != 0) {
      throw config.problem("head_dim", "an even width, for rotary positions");
    }
    return new GatedTransformer(
        new Dimensions(
            config.number("num_hidden_layers"),
            width,
            config.number("vocab_size"),
            config.number("max_position_embeddings", 2048),
            heads,
            keyValueHeads,
            perHead),
        config.number("intermediate_size"),
        (float) config.real("rms_norm_eps", 1e-6),
        config.flag("tie_word_embeddings", tied),
        Activation.of(config, "hidden_act", "silu"),
        Rotary.of(config, perHead, 10_000));
  }

  /** Sets the MLP's nonlinearity. */
  public GatedTransformer activation(Activation kind) {
    this.activation = kind;
    return this;
  }

  /** Sets which projections have biases: query, key and value; attention's output; the MLP. */
  public GatedTransformer biases(boolean queryKeyValue, boolean output, boolean mlp) {
    this.queryKeyValueBias = queryKeyValue;
    this.outputBias = output;
    this.mlpBias = mlp;
    return this;
  }

  /** Sets rotary positions by layer. */
  public GatedTransformer rotary(IntFunction<Rotary> byLayer) {
    this.rotary = byLayer;
    return this;
  }

  /** Sets scale, window and soft cap of the attention scores by layer. */
  public GatedTransformer scores(IntFunction<Scores> byLayer) {
    this.scores = byLayer;
    return this;
  }

  /** Normalizes each head's query and key before the rotation. */
  public GatedTransformer queryKeyNorms() {
    this.queryKeyNorms = true;
    return this;
  }

  /** Normalizes the outputs of attention and MLP before adding them to the residual stream. */
  public GatedTransformer postNorms() {
    this.postNorms = true;
    return this;
  }

  /** Makes norms multiply by {@code offset + weight}. */
  public GatedTransformer normOffset(double offset) {
    this.normOffset = (float) offset;
    return this;
  }

  /** Sets the factor of the embeddings. */
  public GatedTransformer embeddingScale(double scale) {
    this.embeddingScale = (float) scale;
    return this;
  }

  /** Soft-caps the logits, {@code cap · tanh(logits / cap)}; 0 for no cap. */
  public GatedTransformer logitSoftcap(double cap) {
    this.logitSoftcap = (float) cap;
    return this;
  }

  /**
   * Sets the tensors' names.
   *
   * @param before prefix of all but the unembedding; {@code model.} in Llama
   * @param unembedding name of the unembedding if it is not tied; {@code lm_head.weight} in Llama
   */
  public GatedTransformer names(String before, String unembedding) {
    this.body = before;
    this.head = unembedding;
    return this;
  }

  @Override
  public Dimensions dimensions() {
    return dimensions;
  }

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
    Value rows =
        graph.lookup(body + EMBEDDING, tokens, dimensions.vocabularySize(), dimensions.dModel());
    return graph.site(
        0,
        Graph.EMBED,
        embeddingScale == 1 ? rows : graph.scale(rows, graph.constant(embeddingScale)));
  }

  @Override
  public Value block(Graph graph, int layer, Value residual, Value positions, Attention attention)
      throws SaeFormatException {
    String name = body + "layers." + layer + ".";
    Value attended =
        attend(
            graph,
            layer,
            norm(graph, residual, name + "input_layernorm"),
            positions,
            attention,
            name + "self_attn.");
    if (postNorms) {
      attended = norm(graph, attended, name + "post_attention_layernorm");
    }
    Value middle =
        graph.site(
            layer,
            Graph.RESID_MID,
            graph.add(residual, graph.site(layer, Graph.ATTN_OUT, attended)));
    String before = postNorms ? "pre_feedforward_layernorm" : "post_attention_layernorm";
    Value added = mlp(graph, layer, norm(graph, middle, name + before), name + "mlp.");
    if (postNorms) {
      added = norm(graph, added, name + "post_feedforward_layernorm");
    }
    return graph.add(middle, graph.site(layer, Graph.MLP_OUT, added));
  }

  @Override
  public Value unembed(Graph graph, Value residual) throws SaeFormatException {
    Value logits =
        graph.multiply(
            norm(graph, residual, body + "norm"),
            graph.weight(
                tied ? body + EMBEDDING : head, dimensions.vocabularySize(), dimensions.dModel()),
            true);
    return graph.softcap(logits, logitSoftcap);
  }

  private Value attend(
      Graph graph, int layer, Value x, Value positions, Attention attention, String name)
      throws SaeFormatException {
    long width = dimensions.dModel();
    long queryWidth = dimensions.queryWidth();
    long keyValueWidth = dimensions.keyValueWidth();
    Value query = linear(graph, x, name + "q_proj", width, queryWidth, queryKeyValueBias);
    Value key = linear(graph, x, name + "k_proj", width, keyValueWidth, queryKeyValueBias);
    Value value = linear(graph, x, name + "v_proj", width, keyValueWidth, queryKeyValueBias);
    if (queryKeyNorms) {
      query = headNorm(graph, query, name + "q_norm", queryWidth);
      key = headNorm(graph, key, name + "k_norm", keyValueWidth);
    }
    Rotary rope = rotary.apply(layer);
    Value mixed =
        attention.apply(
            layer,
            rope.apply(graph, query, positions, dimensions.heads()),
            rope.apply(graph, key, positions, dimensions.keyValueHeads()),
            value,
            scores.apply(layer));
    Value z = graph.site(layer, Graph.ATTN_Z, mixed);
    return linear(graph, z, name + "o_proj", queryWidth, width, outputBias);
  }

  private Value mlp(Graph graph, int layer, Value x, String name) throws SaeFormatException {
    Value gate = linear(graph, x, name + "gate_proj", dimensions.dModel(), inner, mlpBias);
    Value up = linear(graph, x, name + "up_proj", dimensions.dModel(), inner, mlpBias);
    return linear(
        graph,
        graph.site(layer, Graph.MLP_POST, graph.scale(activation.apply(graph, gate), up)),
        name + "down_proj",
        inner,
        dimensions.dModel(),
        mlpBias);
  }

  private Value headNorm(Graph graph, Value x, String name, long width) throws SaeFormatException {
    Value heads = graph.reshape(x, -1, dimensions.headDim());
    return graph.reshape(norm(graph, heads, name, dimensions.headDim()), -1, width);
  }

  private Value norm(Graph graph, Value x, String name) throws SaeFormatException {
    return norm(graph, x, name, dimensions.dModel());
  }

  private Value norm(Graph graph, Value x, String name, int width) throws SaeFormatException {
    Value weight = graph.weight(name + ".weight", width);
    Value factor =
        normOffset == 0
            ? weight
            : graph.once(name, () -> graph.add(weight, graph.constant(normOffset)));
    return graph.node("RMSNormalization", List.of(x, factor), Attribute.of("epsilon", epsilon));
  }

  private static Value linear(Graph graph, Value x, String name, long in, long out, boolean bias)
      throws SaeFormatException {
    Value weight = graph.weight(name + ".weight", out, in);
    return bias
        ? graph.multiply(x, weight, true, graph.weight(name + ".bias", out))
        : graph.multiply(x, weight, true);
  }
}
