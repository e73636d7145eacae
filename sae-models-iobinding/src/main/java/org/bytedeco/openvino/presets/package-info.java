/** Stands in for org.bytedeco:openvino, which ONNX Runtime's presets name but do not need. */
@NullUnmarked
package org.bytedeco.openvino.presets;

import org.jspecify.annotations.NullUnmarked;
