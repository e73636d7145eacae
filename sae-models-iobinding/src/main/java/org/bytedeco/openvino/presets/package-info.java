/** Stands in for org.bytedeco:openvino, which the presets of ONNX Runtime name and do not need. */
@NullUnmarked
package org.bytedeco.openvino.presets;

import org.jspecify.annotations.NullUnmarked;
