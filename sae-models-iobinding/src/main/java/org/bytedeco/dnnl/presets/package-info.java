/** Stands in for org.bytedeco:dnnl, which ONNX Runtime's presets name but do not need. */
@NullUnmarked
package org.bytedeco.dnnl.presets;

import org.jspecify.annotations.NullUnmarked;
