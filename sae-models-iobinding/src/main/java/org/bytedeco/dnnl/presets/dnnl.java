package org.bytedeco.dnnl.presets;

/**
 * Named in an annotation of {@code org.bytedeco.onnxruntime.presets.onnxruntime}, so it must exist;
 * dnnl itself is not used.
 */
@SuppressWarnings({"checkstyle:TypeName", "NamedLikeContextualKeyword"})
public final class dnnl {
  private dnnl() {}
}
