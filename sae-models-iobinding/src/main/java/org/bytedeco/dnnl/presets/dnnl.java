package org.bytedeco.dnnl.presets;

/**
 * Named by an annotation of {@code org.bytedeco.onnxruntime.presets.onnxruntime}, and read with it;
 * nothing of dnnl is used.
 */
@SuppressWarnings({"checkstyle:TypeName", "NamedLikeContextualKeyword"})
public final class dnnl {
  private dnnl() {}
}
