package org.bytedeco.openvino.presets;

/**
 * Named in an annotation of {@code org.bytedeco.onnxruntime.presets.onnxruntime}, so it must exist;
 * openvino itself is not used.
 */
@SuppressWarnings({"checkstyle:TypeName", "NamedLikeContextualKeyword"})
public final class openvino {
  private openvino() {}
}
