/** Labelled texts from files, and what probes on them make of SAEs. */
@NullMarked
package io.faithfulsae.study.tasks;

import org.jspecify.annotations.NullMarked;
