/* Order of the search: pages for users before the reference, and the reference before the theory and the project. */
const PLACES = [
  [/^(how_do_i|tutorials)/, 10],
  [/^(from_excel|which_tool|intervals|solvers|sampling|predictive|optimisation|functions|curves_and_graphs)$/, 12],
  [/^(three_models|cluster|accelerators|scale_out|federated|flower|learning_coefficients|two_phase)$/, 12],
  [/^(start|guides|concepts|sharp_bits|conventions)/, 8],
  [/^api\/names\/langevax\.theory/, -10],
  [/^(design|changelog|benchmarks|atlas|papers|notation|feature_learning|architecture|contributing)$/, -10],
];

var Scorer = {
  score: ([docname, title, anchor, descr, score]) =>
    score + (PLACES.find(([place]) => place.test(docname)) ?? [null, 0])[1],
  objNameMatch: 22,
  objPartialMatch: 4,
  objPrio: {0: 5, 1: 0, 2: -5},
  objPrioDefault: 0,
  title: 20,
  partialTitle: 9,
  term: 6,
  partialTerm: 2,
};
