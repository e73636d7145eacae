package io.faithfulsae.models;

import ai.onnx.proto.OnnxMl.AttributeProto;
import ai.onnx.proto.OnnxMl.GraphProto;
import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TensorShapeProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.spi.internal.Pruning;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Another program's graph, reduced to what one of its tensors needs, with operators in front that
 * derive every input from the token ids: it has one input, int64 {@code [batch, length]}, and
 * returns float32 {@code [rows, d]}.
 */
final class TokenFedGraph {
  static final String TOKENS = "faithfulsae.tokens";
  static final String OUTPUT = "faithfulsae.output";

  /** int64 {@code [3]}: the tensor's number of elements, its first dimension and its last. */
  static final String FACTS = "faithfulsae.facts";

  private static final String SHAPE = "faithfulsae.shape";
  private static final String MASK = "faithfulsae.mask";
  private static final String POSITIONS = "faithfulsae.positions";
  private static final int INT64 = TensorProto.DataType.INT64_VALUE;

  private final String file;
  private final List<NodeProto> nodes = new ArrayList<>();
  private final List<TensorProto> constants = new ArrayList<>();

  private TokenFedGraph(String file) {
    this.file = file;
  }

  /**
   * Reduces a graph.
   *
   * @throws IllegalArgumentException if a required input cannot be derived from token ids
   */
  static byte[] build(ModelProto model, String tensor, String file) {
    GraphProto.Builder tapped = model.getGraph().toBuilder().clearOutput();
    tapped.addOutput(ValueInfoProto.newBuilder().setName(tensor));
    GraphProto needed = Pruning.prune(tapped.build());
    TokenFedGraph fed = new TokenFedGraph(file);
    fed.makeCommon();
    needed.getInputList().stream()
        .filter(input -> !isWeight(needed, input.getName()))
        .forEach(fed::make);
    GraphProto.Builder graph = needed.toBuilder().clearInput().clearOutput().clearNode();
    graph.addAllNode(fed.nodes).addAllNode(needed.getNodeList());
    fed.nodes.clear();
    fed.finish(tensor);
    graph.addAllNode(fed.nodes).addAllInitializer(fed.constants);
    graph.addInput(info(TOKENS, INT64, "batch", "length"));
    graph.addOutput(info(OUTPUT, TensorProto.DataType.FLOAT_VALUE, "rows", "d"));
    graph.addOutput(info(FACTS, INT64, "facts"));
    return model.toBuilder().setGraph(Pruning.prune(graph.build())).build().toByteArray();
  }

  /** The tensor as float32 rows, and the sizes that show whether this is valid. */
  private void finish(String tensor) {
    String dims = OUTPUT + ".dims";
    String last = OUTPUT + ".last";
    String first = OUTPUT + ".first";
    add("Shape", List.of(tensor), dims);
    String end = constant("end", Long.MAX_VALUE, true);
    add("Slice", List.of(dims, constant("last", -1, true), end), last);
    add("Slice", List.of(dims, constant("0", 0, true), constant("1", 1, true)), first);
    add("Size", List.of(tensor), OUTPUT + ".size");
    add("Reshape", List.of(OUTPUT + ".size", constant("alone", 1, true)), OUTPUT + ".size1");
    nodes.add(concat(FACTS, List.of(OUTPUT + ".size1", first, last)));
    nodes.add(cast(tensor, OUTPUT + ".float", TensorProto.DataType.FLOAT_VALUE));
    nodes.add(concat(OUTPUT + ".shape", List.of(constant("rows", -1, true), last)));
    add("Reshape", List.of(OUTPUT + ".float", OUTPUT + ".shape"), OUTPUT);
  }

  /** Old files list weights among the inputs. */
  private static boolean isWeight(GraphProto graph, String name) {
    return graph.getInitializerList().stream().anyMatch(weight -> weight.getName().equals(name));
  }

  /**
   * What inputs are derived from: the shape of the tokens, ones of that shape, and the positions.
   */
  private void makeCommon() {
    add("Shape", List.of(TOKENS), SHAPE);
    filled(SHAPE, MASK, TensorProto.newBuilder().setDataType(INT64).addDims(1).addInt64Data(1));
    add("CumSum", List.of(MASK, constant("axis", 1)), POSITIONS + ".from1");
    add("Sub", List.of(POSITIONS + ".from1", constant("one", 1)), POSITIONS);
  }

  private void make(ValueInfoProto input) {
    String name = input.getName();
    int type = input.getType().getTensorType().getElemType();
    switch (name) {
      case "input_ids" -> nodes.add(cast(TOKENS, name, type));
      case "attention_mask" -> nodes.add(cast(MASK, name, type));
      case "position_ids" -> nodes.add(cast(POSITIONS, name, type));
      case "token_type_ids" -> filled(SHAPE, name, zero(type));
      case "use_cache_branch" -> filled(constant("single", 1, true), name, zero(type));
      case "cache_position" -> {
        add(
            "Slice",
            List.of(POSITIONS, constant("from", 0, true), constant("to", 1, true)),
            name + ".row");
        add("Reshape", List.of(name + ".row", constant("flat", -1, true)), name + ".flat");
        nodes.add(cast(name + ".flat", name, type));
      }
      default -> {
        if (!name.startsWith("past")) {
          throw unknown(input);
        }
        past(input, type);
      }
    }
  }

  /** Empty keys and values: an open batch dimension is the batch size, other open ones are 0. */
  private void past(ValueInfoProto input, int type) {
    String name = input.getName();
    List<String> sizes = new ArrayList<>();
    boolean batchSeen = false;
    for (TensorShapeProto.Dimension dim : input.getType().getTensorType().getShape().getDimList()) {
      if (dim.hasDimValue()) {
        sizes.add(constant(name + "." + sizes.size(), dim.getDimValue(), true));
      } else if (!batchSeen && !dim.getDimParam().contains("past")) {
        batchSeen = true;
        String batch = name + ".batch";
        add(
            "Slice",
            List.of(SHAPE, constant(name + ".from", 0, true), constant(name + ".to", 1, true)),
            batch);
        sizes.add(batch);
      } else {
        sizes.add(constant(name + "." + sizes.size(), 0, true));
      }
    }
    if (sizes.isEmpty()) {
      throw unknown(input);
    }
    nodes.add(concat(name + ".shape", sizes));
    filled(name + ".shape", name, zero(type));
  }

  private IllegalArgumentException unknown(ValueInfoProto input) {
    TypeProto.Tensor tensor = input.getType().getTensorType();
    List<String> shape =
        tensor.getShape().getDimList().stream()
            .map(d -> d.hasDimValue() ? String.valueOf(d.getDimValue()) : d.getDimParam())
            .toList();
    return new IllegalArgumentException(
        Expected.message(
            "inputs of "
                + file
                + " that can be made of token ids (input_ids, attention_mask, position_ids,"
                + " token_type_ids, cache_position, past…, use_cache_branch)",
            input.getName() + " " + TensorProto.DataType.forNumber(tensor.getElemType()) + shape,
            "export the model without it"));
  }

  private void add(String operator, List<String> inputs, String output) {
    nodes.add(
        NodeProto.newBuilder().setOpType(operator).addAllInput(inputs).addOutput(output).build());
  }

  private static NodeProto concat(String output, List<String> inputs) {
    return NodeProto.newBuilder()
        .setOpType("Concat")
        .addAllInput(inputs)
        .addOutput(output)
        .addAttribute(integer("axis", 0))
        .build();
  }

  private static NodeProto cast(String from, String to, int type) {
    return NodeProto.newBuilder()
        .setOpType("Cast")
        .addInput(from)
        .addOutput(to)
        .addAttribute(integer("to", type))
        .build();
  }

  private static AttributeProto integer(String name, long value) {
    return AttributeProto.newBuilder()
        .setName(name)
        .setType(AttributeProto.AttributeType.INT)
        .setI(value)
        .build();
  }

  private void filled(String shape, String output, TensorProto.Builder value) {
    nodes.add(
        NodeProto.newBuilder()
            .setOpType("ConstantOfShape")
            .addInput(shape)
            .addOutput(output)
            .addAttribute(
                AttributeProto.newBuilder()
                    .setName("value")
                    .setType(AttributeProto.AttributeType.TENSOR)
                    .setT(value))
            .build());
  }

  private static TensorProto.Builder zero(int type) {
    byte[] bytes = new byte[Long.BYTES];
    int size =
        switch (TensorProto.DataType.forNumber(type)) {
          case BOOL, INT8, UINT8 -> 1;
          case FLOAT16, BFLOAT16, INT16, UINT16 -> 2;
          case FLOAT, INT32, UINT32 -> 4;
          default -> 8;
        };
    return TensorProto.newBuilder()
        .setDataType(type)
        .addDims(1)
        .setRawData(com.google.protobuf.ByteString.copyFrom(Arrays.copyOf(bytes, size)));
  }

  private String constant(String name, long value) {
    return constant(name, value, false);
  }

  /** An int64 constant, as a scalar or a one-element list. */
  private String constant(String name, long value, boolean list) {
    String full = "faithfulsae.constant." + name;
    TensorProto.Builder tensor =
        TensorProto.newBuilder().setName(full).setDataType(INT64).addInt64Data(value);
    if (list) {
      tensor.addDims(1);
    }
    constants.add(tensor.build());
    return full;
  }

  private static ValueInfoProto info(String name, int type, String... dims) {
    TensorShapeProto.Builder shape = TensorShapeProto.newBuilder();
    for (String dim : dims) {
      shape.addDim(TensorShapeProto.Dimension.newBuilder().setDimParam(dim));
    }
    return ValueInfoProto.newBuilder()
        .setName(name)
        .setType(
            TypeProto.newBuilder()
                .setTensorType(TypeProto.Tensor.newBuilder().setElemType(type).setShape(shape)))
        .build();
  }
}
