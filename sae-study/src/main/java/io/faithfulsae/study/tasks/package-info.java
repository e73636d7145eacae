/** Labelled texts from files, and the results of probing SAEs on them. */
@NullMarked
package io.faithfulsae.study.tasks;

import org.jspecify.annotations.NullMarked;
