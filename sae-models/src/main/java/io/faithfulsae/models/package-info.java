/** Language models from Hugging Face folders, run by ONNX Runtime. */
@NullMarked
package io.faithfulsae.models;

import org.jspecify.annotations.NullMarked;
