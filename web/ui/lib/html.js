// The one door to the vendored Preact and htm, so that a new version changes one line.
export {
  h,
  html,
  render,
  useState,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useCallback,
  useReducer,
  Component,
} from '../vendor/htm-preact.module.js';
