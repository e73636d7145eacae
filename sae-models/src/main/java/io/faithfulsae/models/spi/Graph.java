package io.faithfulsae.models.spi;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors.DType;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * Builds an ONNX graph. Weights are external data: each refers to its bytes in the safetensors
 * file, so the graph stays small and nothing is copied. Weights stored in a precision other than
 * the graph's go through a Cast, which a runtime may defer until just before the product that needs
 * it.
 *
 * <p>Over 400 lines: inputs, outputs and operators, one short method each.
 */
public final class Graph {
  /**
   * TransformerLens' site names. Before all blocks, the token embeddings as the model uses them
   * (scaled in Gemma), without positions.
   */
  public static final String EMBED = "hook_embed";

  /** In a block, the residual stream entering it. */
  public static final String RESID_PRE = "hook_resid_pre";

  /**
   * What the heads read, before the output projection: {@code [rows, heads * headDim]}, head by
   * head.
   */
  public static final String ATTN_Z = "attn.hook_z";

  /** The output of attention, added to the residual stream. */
  public static final String ATTN_OUT = "hook_attn_out";

  /** The residual stream between attention and MLP. */
  public static final String RESID_MID = "hook_resid_mid";

  /** The MLP's neurons, after the nonlinearity and the gate, before the down projection. */
  public static final String MLP_POST = "mlp.hook_post";

  /** The output of the MLP, added to the residual stream. */
  public static final String MLP_OUT = "hook_mlp_out";

  /** The residual stream leaving the block. */
  public static final String RESID_POST = "hook_resid_post";

  /** All of these sites, in order of computation. */
  public static final List<String> SITES =
      List.of(EMBED, RESID_PRE, ATTN_Z, ATTN_OUT, RESID_MID, MLP_POST, MLP_OUT, RESID_POST);

  /** Marks an omitted input. */
  public static final Value NOTHING = new Value("");

  static final String OWN_DOMAIN = "com.microsoft";

  private final Weights weights;
  private final Precision precision;
  private final GraphProto.Builder graph = GraphProto.newBuilder().setName("faithfulsae");
  private final Map<String, Value> once = new HashMap<>();
  private final Set<String> computed = new HashSet<>();
  private final Set<Value> converted = new HashSet<>();
  private final Map<String, String> outputNames = new HashMap<>();
  private final Map<HookPoint, Value> sites = new HashMap<>();
  private final Map<HookPoint, Value> replaced = new HashMap<>();
  private final Map<HookPoint, UnaryOperator<Value>> changes = new HashMap<>();
  private int names;

  /** The precision of products and the residual stream. */
  public enum Precision {
    /** float32. */
    FLOAT32(TensorProto.DataType.FLOAT, DType.F32),
    /** float16. */
    FLOAT16(TensorProto.DataType.FLOAT16, DType.F16),
    /** bfloat16. */
    BFLOAT16(TensorProto.DataType.BFLOAT16, DType.BF16);

    private final TensorProto.DataType type;
    private final DType stored;

    Precision(TensorProto.DataType type, DType stored) {
      this.type = type;
      this.stored = stored;
    }
  }

  /** A tensor in the graph. */
  public record Value(String name) {}

  /** A node attribute. */
  public static final class Attribute {
    private final AttributeProto proto;

    private Attribute(AttributeProto.Builder proto) {
      this.proto = proto.build();
    }

    /** An integer. */
    public static Attribute of(String name, long value) {
      return new Attribute(
          AttributeProto.newBuilder()
              .setName(name)
              .setType(AttributeProto.AttributeType.INT)
              .setI(value));
    }

    /** A float. */
    public static Attribute of(String name, float value) {
      return new Attribute(
          AttributeProto.newBuilder()
              .setName(name)
              .setType(AttributeProto.AttributeType.FLOAT)
              .setF(value));
    }

    /** A string. */
    public static Attribute of(String name, String value) {
      return new Attribute(
          AttributeProto.newBuilder()
              .setName(name)
              .setType(AttributeProto.AttributeType.STRING)
              .setS(com.google.protobuf.ByteString.copyFromUtf8(value)));
    }

    /** A list of integers. */
    public static Attribute of(String name, long[] values) {
      return new Attribute(
          AttributeProto.newBuilder()
              .setName(name)
              .setType(AttributeProto.AttributeType.INTS)
              .addAllInts(Arrays.stream(values).boxed().toList()));
    }
  }

  /** An empty graph over a checkpoint's tensors, in float32. */
  public Graph(Weights weights) {
    this(weights, Precision.FLOAT32);
  }

  /** An empty graph over a checkpoint's tensors. */
  public Graph(Weights weights, Precision precision) {
    this.weights = weights;
    this.precision = precision;
  }

  /**
   * An input passed as float32 and computed on in the graph's precision; a dimension is a number or
   * a name.
   */
  public Value floatInput(String name, Object... shape) {
    return computed(input(name, TensorProto.DataType.FLOAT, shape));
  }

  /** An input that is float32 in the graph too. */
  public Value singleInput(String name, Object... shape) {
    return input(name, TensorProto.DataType.FLOAT, shape);
  }

  /** A float64 input. */
  public Value doubleInput(String name, Object... shape) {
    return input(name, TensorProto.DataType.DOUBLE, shape);
  }

  /** An int32 input. */
  public Value intInput(String name, Object... shape) {
    return input(name, TensorProto.DataType.INT32, shape);
  }

  /** An input in the graph's precision. */
  public Value computedInput(String name, Object... shape) {
    return input(name, precision.type, shape);
  }

  /** An int64 input; a dimension is a number or a name. */
  public Value longInput(String name, Object... shape) {
    return input(name, TensorProto.DataType.INT64, shape);
  }

  private Value input(String name, TensorProto.DataType type, Object... shape) {
    graph.addInput(Protos.info(name, type, shape));
    return new Value(name);
  }

  /** Makes a float value a float32 output under a name. */
  public void output(String name, Value value, Object... shape) {
    output(
        name,
        precision == Precision.FLOAT32 ? value : cast(value),
        TensorProto.DataType.FLOAT,
        shape);
  }

  /** Makes a value in the graph's precision an output under a name, without conversion. */
  public void computedOutput(String name, Value value, Object... shape) {
    output(name, value, precision.type, shape);
  }

  /** Makes a float32 value an output under a name. */
  public void singleOutput(String name, Value value, Object... shape) {
    output(name, value, TensorProto.DataType.FLOAT, shape);
  }

  /** Makes an int64 value an output under a name. */
  public void longOutput(String name, Value value, Object... shape) {
    output(name, value, TensorProto.DataType.INT64, shape);
  }

  private void output(String name, Value value, TensorProto.DataType type, Object... shape) {
    if (!computed.contains(value.name()) || outputNames.putIfAbsent(value.name(), name) != null) {
      graph.addNode(
          NodeProto.newBuilder().setOpType("Identity").addInput(value.name()).addOutput(name));
    }
    graph.addOutput(Protos.info(name, type, shape));
  }

  /**
   * Registers a value as a hook point's site. Returns the value for further computation: with the
   * replacement of {@link #replace} and the change of {@link #changeAt}, if there are any.
   *
   * @param layer the block; 0 for {@link #EMBED}
   */
  public Value site(int layer, String name, Value value) {
    HookPoint hook = new HookPoint(layer, name);
    Value used =
        changes
            .getOrDefault(hook, UnaryOperator.identity())
            .apply(replaced.getOrDefault(hook, value));
    sites.put(hook, used);
    return used;
  }

  /** Replaces the value at a hook point; call before the model is built. */
  public void replace(HookPoint hook, Value value) {
    replaced.put(hook, value);
  }

  /**
   * Changes the value at a hook point, or its replacement if there is one; call before the model is
   * built.
   */
  public void changeAt(HookPoint hook, UnaryOperator<Value> change) {
    changes.put(hook, change);
  }

  /** The value at a hook point that {@link #site} has registered. */
  public Value at(HookPoint hook) {
    Value value = sites.get(hook);
    if (value == null) {
      throw new IllegalStateException(
          Expected.message(
              "the model's blocks to register " + hook,
              "only " + sites.keySet(),
              "pass it to Graph.site in the family's block"));
    }
    return value;
  }

  /** Adds a node with one output. */
  public Value node(String operator, List<Value> inputs, Attribute... attributes) {
    return nodes(operator, 1, inputs, attributes).get(0);
  }

  /** Adds a node with several outputs. */
  public List<Value> nodes(
      String operator, int outputs, List<Value> inputs, Attribute... attributes) {
    return nodes("", operator, outputs, inputs, attributes);
  }

  /**
   * Adds a node with one of ONNX Runtime's own operators.
   *
   * @param inputs {@link #NOTHING} for an omitted input
   */
  public List<Value> ownNodes(
      String operator, int outputs, List<Value> inputs, Attribute... attributes) {
    return nodes(OWN_DOMAIN, operator, outputs, inputs, attributes);
  }

  private List<Value> nodes(
      String domain, String operator, int outputs, List<Value> inputs, Attribute... attributes) {
    NodeProto.Builder node =
        NodeProto.newBuilder()
            .setDomain(domain)
            .setOpType(operator)
            .setName(operator + "." + names);
    inputs.forEach(input -> node.addInput(input.name()));
    Value[] values = new Value[outputs];
    for (int i = 0; i < outputs; i++) {
      values[i] = new Value("v" + names++);
      node.addOutput(values[i].name());
      computed.add(values[i].name());
    }
    for (Attribute attribute : attributes) {
      node.addAttribute(attribute.proto);
    }
    graph.addNode(node);
    return List.of(values);
  }

  /** A value shared by several blocks, created when first requested. */
  public Value once(String key, Supplier<Value> make) {
    Value known = once.get(key);
    if (known == null) {
      known = make.get();
      once.put(key, known);
    }
    return known;
  }

  /** Float32 constants of a shape. */
  public Value constant(float[] values, long... shape) {
    return initializer(Protos.floats(values), shape);
  }

  /** One float in the graph's precision. */
  public Value constant(float value) {
    return once("float." + value, () -> computed(constant(new float[] {value})));
  }

  /** One float32, whatever the graph's precision. */
  public Value single(float value) {
    return once("single." + value, () -> constant(new float[] {value}));
  }

  /** Float64 constants. */
  public Value doubles(double... values) {
    return once(
        "double." + Arrays.toString(values),
        () -> initializer(Protos.doubles(values), values.length));
  }

  /** A list of int64. */
  public Value integers(long... values) {
    return once(
        "long." + Arrays.toString(values),
        () -> initializer(Protos.integers(values), values.length));
  }

  private Value initializer(TensorProto.Builder tensor, long... shape) {
    Value value = new Value("c" + names++);
    for (long dim : shape) {
      tensor.addDims(dim);
    }
    graph.addInitializer(tensor.setName(value.name()));
    return value;
  }

  /** A weight in the graph's precision. */
  public Value weight(String tensor, long... shape) throws SaeFormatException {
    Value stored = stored(tensor, shape);
    return weights.get(tensor, shape).entry().dtype() == precision.stored
        ? stored
        : once("cast." + tensor, () -> converted(stored));
  }

  private Value converted(Value stored) {
    Value value = castTo(precision.type, stored);
    converted.add(value);
    return value;
  }

  /** Looks up rows of a weight table in the graph's precision: only those rows are converted. */
  public Value lookup(String tensor, Value rows, long... shape) throws SaeFormatException {
    Value gathered = node("Gather", List.of(stored(tensor, shape), rows));
    return weights.get(tensor, shape).entry().dtype() == precision.stored
        ? gathered
        : castTo(precision.type, gathered);
  }

  /** An int64 or 16-bit float value as float32. */
  public Value cast(Value value) {
    return castTo(TensorProto.DataType.FLOAT, value);
  }

  /** A float or integer value as float64. */
  public Value castToDouble(Value value) {
    return castTo(TensorProto.DataType.DOUBLE, value);
  }

  /** A value as int64. */
  public Value castToLong(Value value) {
    return castTo(TensorProto.DataType.INT64, value);
  }

  /** A float32 value in the graph's precision. */
  public Value computed(Value value) {
    return precision == Precision.FLOAT32 ? value : castTo(precision.type, value);
  }

  /** A value in the graph's precision as float32. */
  public Value single(Value value) {
    return precision == Precision.FLOAT32 ? value : cast(value);
  }

  private Value castTo(TensorProto.DataType type, Value value) {
    return node("Cast", List.of(value), Attribute.of("to", type.getNumber()));
  }

  private Value stored(String tensor, long... shape) throws SaeFormatException {
    Weights.Stored stored = weights.get(tensor, shape);
    return once("weight." + tensor, () -> external(tensor, stored));
  }

  private Value external(String name, Weights.Stored stored) {
    graph.addInitializer(Protos.external(name, stored, weights.root()));
    return new Value(name);
  }

  /** {@code x · w}, or {@code x · wᵀ} where a checkpoint stores {@code [out, in]}. */
  public Value multiply(Value x, Value w, boolean transposed) {
    return node("Gemm", List.of(x, w), Attribute.of("transB", transposed ? 1L : 0L));
  }

  /** As {@link #multiply}, with a bias. */
  public Value multiply(Value x, Value w, boolean transposed, Value bias) {
    return node("Gemm", List.of(x, w, bias), Attribute.of("transB", transposed ? 1L : 0L));
  }

  /** {@code a + b}, broadcast. */
  public Value add(Value a, Value b) {
    return node("Add", List.of(a, b));
  }

  /** {@code a * b}, elementwise, broadcast. */
  public Value scale(Value a, Value b) {
    return node("Mul", List.of(a, b));
  }

  /** {@code cap · tanh(value / cap)}; unchanged if the cap is 0. */
  public Value softcap(Value value, float cap) {
    return cap == 0
        ? value
        : scale(node("Tanh", List.of(scale(value, constant(1 / cap)))), constant(cap));
  }

  /** Reshapes a value; 0 keeps a dimension, -1 infers it. */
  public Value reshape(Value value, long... shape) {
    return node("Reshape", List.of(value, integers(shape)));
  }

  /** Permutes a value's dimensions. */
  public Value transpose(Value value, long... order) {
    return node("Transpose", List.of(value), Attribute.of("perm", order));
  }

  /** The graph as an ONNX model, without unused nodes, weights and inputs. */
  public byte[] toBytes() {
    return FinishedGraph.toBytes(graph.build(), converted, outputNames);
  }
}
