/**
 * Language models from Hugging Face folders, run by ONNX Runtime.
 * <!-- assumes: Path folder -->
 *
 * <pre>{@code
 * try (OnnxModel model = OnnxModel.open(folder); Tokenizer tokenizer = Tokenizer.open(folder)) {
 *   FaithfulDataset.write(
 *       model, tokenizer, GenerationConfig.of(1_000_000, 256, 42), Path.of("faithful.jsonl"), progress -> true);
 *   TokenSource faithful = TokenSources.ofFile(Path.of("faithful.jsonl"), tokenizer, 128);
 * }
 * }</pre>
 *
 * <ul>
 *   <li>{@link io.faithfulsae.models.OnnxModel} is a {@link io.faithfulsae.LanguageModel}; {@link
 *       io.faithfulsae.models.Decoder} steps it token by token;
 *   <li>{@link io.faithfulsae.models.Tokenizer} reads {@code tokenizer.json};
 *   <li>{@code tokens.TokenSources} reads text and JSON lines;
 *   <li>{@code generate.FaithfulDataset} samples a model's faithful data set;
 *   <li>{@code spi} is for authors of model families.
 * </ul>
 */
@NullMarked
package io.faithfulsae.models;

import org.jspecify.annotations.NullMarked;
