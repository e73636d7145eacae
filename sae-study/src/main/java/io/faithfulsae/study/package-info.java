/** The study: data sets, SAEs, their comparison and the report, in steps that can be resumed. */
@NullMarked
package io.faithfulsae.study;

import org.jspecify.annotations.NullMarked;
