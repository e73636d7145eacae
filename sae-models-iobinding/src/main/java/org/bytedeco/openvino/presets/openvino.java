package org.bytedeco.openvino.presets;

/**
 * Named by an annotation of {@code org.bytedeco.onnxruntime.presets.onnxruntime}, and read with it;
 * nothing of openvino is used.
 */
@SuppressWarnings({"checkstyle:TypeName", "NamedLikeContextualKeyword"})
public final class openvino {
  private openvino() {}
}
