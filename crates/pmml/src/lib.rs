//! PMML 4.x documents as checked, compiled evaluators.
