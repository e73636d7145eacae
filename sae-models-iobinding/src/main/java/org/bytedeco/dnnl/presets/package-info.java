/** Stands in for org.bytedeco:dnnl, which the presets of ONNX Runtime name and do not need. */
@NullUnmarked
package org.bytedeco.dnnl.presets;

import org.jspecify.annotations.NullUnmarked;
